"""Data sets as scripts name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamseg.errors import DataError
from streamseg.fastsam.data import find_data, has_validation


@pytest.fixture
def work(tmp_path, monkeypatch):
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("STREAMSEG_DATA", raising=False)
    return folder


@pytest.mark.parametrize(
    ("made", "name", "found"),
    [
        pytest.param("a.yaml", "a.yaml", "a.yaml", id="file"),
        pytest.param("datasets/a.yaml", "a.yaml", "datasets/a.yaml", id="in datasets"),
        pytest.param("../datasets/a.yaml", "a.yaml", "../datasets/a.yaml", id="in datasets beside"),
        pytest.param("datasets/a/data.yaml", "a.yaml", "datasets/a", id="folder with its name"),
        pytest.param("../shared/a/data.yaml", "a.yaml", "../shared/a", id="STREAMSEG_DATA"),
        pytest.param("x/a/data.yaml", "x/a", "x/a", id="path of a folder"),
        pytest.param("a/data.yaml", "a", "a", id="folder"),
    ],
)
def test_places(work, monkeypatch, made, name, found):
    monkeypatch.setenv("STREAMSEG_DATA", "../shared")
    Path(made).parent.mkdir(parents=True, exist_ok=True)
    Path(made).write_text("")
    assert find_data(name) == Path(found)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param(
            "coco8-seg.yaml", "no data set coco8-seg.yaml in ., datasets, ../datasets; give the path", id="name"
        ),
        pytest.param("x/a.yaml", "no data set x/a.yaml; give the path of its data.yaml", id="path"),
    ],
)
def test_missing(work, name, message):
    Path("datasets").mkdir()
    Path("datasets/a.yaml").write_text("")
    with pytest.raises(DataError) as raised:
        find_data(name)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_split_for_validation(work):
    for name, keys in (("both", "train: a\nval: b"), ("train", "train: a")):
        Path(f"{name}.yaml").write_text(f"{keys}\nnames: [x]")
    assert has_validation(Path("both.yaml"))
    assert not has_validation(Path("train.yaml"))
    assert not has_validation(work / "a COCO folder")
