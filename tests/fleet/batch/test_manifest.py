"""The manifest: resumed, damaged, claimed; and the inputs of a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamseg.errors import DataError
from streamseg.fleet.batch.inputs import BatchInput, find_inputs
from streamseg.fleet.batch.manifest import MANIFEST_NAME, Manifest

SETTINGS = {"segmentation": {"conf": 0.25}}
ONE = BatchInput("a/b.jpg", 5, 7)
DONE = {"output": "a/b.jpg.jsonl", "frames": 1, "objects": 2, "seconds": 0.1}


def write_output(out: Path) -> None:
    (out / "a").mkdir(parents=True, exist_ok=True)
    (out / "a" / "b.jpg.jsonl").touch()


def test_a_done_input_is_known_after_a_restart(tmp_path: Path):
    with Manifest(tmp_path, SETTINGS) as manifest:
        assert not manifest.is_done(ONE)
        write_output(tmp_path)
        manifest.add(ONE, DONE)
    with Manifest(tmp_path, SETTINGS) as manifest:
        assert manifest.is_done(ONE)
        assert not manifest.is_done(BatchInput("a/b.jpg", 5, 8)), "changed since"
        assert not manifest.is_done(BatchInput("a/c.jpg", 5, 7))
        (tmp_path / "a" / "b.jpg.jsonl").unlink()
        assert not manifest.is_done(ONE), "its output is gone"


def test_the_last_line_of_an_input_counts(tmp_path: Path):
    write_output(tmp_path)
    with Manifest(tmp_path, SETTINGS) as manifest:
        manifest.add(ONE, {"error": "unreadable"})
        assert manifest.errors_of([ONE]) == {"a/b.jpg": "unreadable"}
    with Manifest(tmp_path, SETTINGS) as manifest:
        assert not manifest.is_done(ONE)
        manifest.add(ONE, DONE)
        assert manifest.errors_of([ONE]) == {}


def test_a_line_cut_by_a_kill_is_removed(tmp_path: Path):
    write_output(tmp_path)
    with Manifest(tmp_path, SETTINGS) as manifest:
        manifest.add(ONE, DONE)
    path = tmp_path / MANIFEST_NAME
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"input": "c')
    with Manifest(tmp_path, SETTINGS) as manifest:
        assert manifest.is_done(ONE)
    assert path.read_bytes() == whole
    path.write_bytes(whole[:10])  # cut in the first line
    with Manifest(tmp_path, SETTINGS) as manifest:
        assert not manifest.is_done(ONE)
    assert json.loads(path.read_text())["settings"] == SETTINGS


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param("not json\n", "is damaged", id="no-json"),
        pytest.param("[1]\n", "is damaged", id="no-object"),
        pytest.param('{"schema": "other", "version": 1, "settings": {}}\n', "no manifest of this version", id="other"),
        pytest.param(
            '{"schema": "streamseg.batch", "version": 1, "settings": {"segmentation": {"conf": 0.5}}}\n',
            r"other settings \(segmentation.conf\)",
            id="settings",
        ),
    ],
)
def test_what_cannot_be_continued(tmp_path: Path, content: str, error: str):
    (tmp_path / MANIFEST_NAME).write_text(content)
    with pytest.raises(DataError, match=error):
        Manifest(tmp_path, SETTINGS)


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write the manifest"):
        Manifest(tmp_path / "file" / "out", SETTINGS)


# ---- inputs


def test_inputs_of_a_folder(tmp_path: Path):
    for name in ("b.JPG", "a/c.mp4", "a/d.txt", ".hidden.png", ".git/e.png", "out/f.png", "a/g.webp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    found = find_inputs(tmp_path, tmp_path / "out")
    assert [one.name for one in found] == ["a/c.mp4", "a/g.webp", "b.JPG"]
    assert {one.size for one in found} == {1}


def test_folders_without_inputs(tmp_path: Path):
    with pytest.raises(DataError, match="holds no image and no video"):
        find_inputs(tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="is not a folder"):
        find_inputs(tmp_path / "none", tmp_path / "out")
