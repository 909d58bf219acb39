"""The Python examples of docs/fastsam.md run as they are, in a folder as described there."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from streamseg.synthetic import SceneRenderer
from streamseg.weights import load_weights
from tests.support.checkpoints import official_checkpoint
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.slow

DOCUMENT = REPOSITORY / "docs" / "fastsam.md"


def test_examples_run(tmp_path, monkeypatch, capsys):
    image = SceneRenderer(800, 450, num_objects=8, seed=1).render(40)[:, :, ::-1]
    (tmp_path / "images").mkdir()
    (tmp_path / "weights").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "dogs.jpg"), image)
    official_checkpoint(load_weights("default").network(), tmp_path / "weights" / "FastSAM.pt", imgsz=448)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 8
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        # A smaller input of the network, because the documented one would make this test slow.
        exec(compile(block.replace("imgsz=1024", "imgsz=448"), f"{DOCUMENT.name}, example {number}", "exec"), names)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {f"output/{name}" for name in ("everything.jpg", "boxes.jpg", "dog.jpg", "result.png")} | {
        "dogs.jpg"
    } <= written
    everything = cv2.imread("output/everything.jpg")
    assert everything.shape == image.shape
    assert (np.abs(everything.astype(int) - image).max(axis=2) > 60).mean() > 0.02
    assert "objects" in capsys.readouterr().out
