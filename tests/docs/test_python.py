"""The code of docs/python.md and of the README's Python section runs, with the default network."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from streamseg.synthetic import SceneRenderer
from tests.segmentation.test_results import Supervision
from tests.support.paths import REPOSITORY
from tests.support.videos import write_video

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
DOCUMENT = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")


def blocks(text: str) -> list[str]:
    """The contents of the blocks of Python code."""
    return re.findall(r"^```python[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with the files that the documents name."""
    renderer = SceneRenderer(320, 192)
    Image.fromarray(renderer.render(0)).save(tmp_path / "photo.jpg")
    (tmp_path / "photos").mkdir()
    for number in range(2):
        Image.fromarray(renderer.render(number)).save(tmp_path / "photos" / f"{number}.jpg")
    write_video(tmp_path / "video.mp4", images=[renderer.render(number) for number in range(3)])
    monkeypatch.setitem(sys.modules, "supervision", Supervision)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert Path.cwd() == tmp_path


@pytest.mark.slow
def test_document(folder: Path, capsys: pytest.CaptureFixture[str]):
    names: dict[str, object] = {}
    code = blocks(DOCUMENT)
    assert len(code) > 6
    for number, block in enumerate(code):
        exec(compile(block, f"python.md, block {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert re.search(r"^Instances\(\d+ objects? in 320x192, scores ", printed, re.MULTILINE)
    assert len(re.findall(r"^[012] \d+$", printed, re.MULTILINE)) == 3
    assert {"overlay.png", "overlays"} <= set(os.listdir(folder))
    assert names["annotations"]


@pytest.mark.slow
def test_readme(folder: Path):
    (section,) = re.findall(r"^## In Python\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    for block in blocks(section):
        exec(compile(block, "README.md", "exec"), names)
    assert (folder / "overlay.png").exists()
    assert names["annotations"]
