"""Folders of results."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamseg.errors import DataError
from streamseg.fastsam.run_folder import new_run_folder


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({}, ["runs/segment/predict", "runs/segment/predict2", "runs/segment/predict3"], id="numbered"),
        pytest.param({"name": "a"}, ["runs/segment/a", "runs/segment/a2", "runs/segment/a3"], id="name"),
        pytest.param({"project": "p/q", "name": "a"}, ["p/q/a", "p/q/a2", "p/q/a3"], id="project"),
        pytest.param({"name": "v1.0"}, ["runs/segment/v1.0", "runs/segment/v1.02", "runs/segment/v1.03"], id="dot"),
        pytest.param({"exist_ok": True}, ["runs/segment/predict"] * 3, id="the same"),
    ],
)
def test_names(tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    for folder in expected:
        assert new_run_folder("predict", **arguments) == Path(folder)
        assert Path(folder).is_dir()


def test_a_gap_is_filled(tmp_path):
    for name in ("train", "train3"):
        (tmp_path / name).mkdir()
    assert new_run_folder("train", str(tmp_path)) == tmp_path / "train2"


@pytest.mark.parametrize("exist_ok", [True, False])
def test_a_file_in_the_way_is_one_line(tmp_path, exist_ok):
    (tmp_path / "project").write_text("")
    with pytest.raises(DataError, match=r"cannot create the folder .*project/predict: ") as raised:
        new_run_folder("predict", str(tmp_path / "project"), exist_ok=exist_ok)
    assert "\n" not in str(raised.value)
