"""The Python examples of docs/fastsam.md run as they are, in a folder as described there."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from streamseg.fastsam.keys import KEYS
from streamseg.synthetic import SceneRenderer
from streamseg.weights import load_weights
from tests.support.checkpoints import official_checkpoint
from tests.support.paths import REPOSITORY
from tests.support.yolo_data import box_image, yolo_data_set

pytestmark = pytest.mark.slow

DOCUMENT = REPOSITORY / "docs" / "fastsam.md"

SMALLER = {
    "imgsz=1024": "imgsz=448",
    "epochs=100, imgsz=640, batch=16": "epochs=1, imgsz=32, batch=2, workers=0",
    "imgsz=640": "imgsz=64",
}
"""Replacements in the examples, because the documented sizes would make this test slow."""


def test_table_of_keys_is_complete():
    _, _, section = DOCUMENT.read_text(encoding="utf-8").partition("| key | modes | here |\n|---|---|---|\n")
    rows = section.partition("\n\n")[0].splitlines()
    assert rows == [f"| `{name}` | {', '.join(key.modes)} | {key.ours} |" for name, key in KEYS.items()]


def test_examples_run(tmp_path, monkeypatch, capsys):
    image = SceneRenderer(800, 450, num_objects=8, seed=1).render(40)[:, :, ::-1]
    (tmp_path / "images").mkdir()
    (tmp_path / "weights").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "dogs.jpg"), image)
    official_checkpoint(load_weights("yolov8n").network(), tmp_path / "weights" / "FastSAM.pt", imgsz=448)
    boxes = [box_image((60, 80), 10 * k, 5 + k, 10 * k + 30, 45 + k) for k in range(2)]
    yolo_data_set(tmp_path, {"train": boxes, "val": boxes})
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 8
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        for documented, small in SMALLER.items():
            block = block.replace(documented, small)
        exec(compile(block, f"{DOCUMENT.name}, example {number}", "exec"), names)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {f"output/{name}" for name in ("everything.jpg", "boxes.jpg", "dog.jpg", "result.png")} | {
        "dogs.jpg"
    } <= written
    assert {
        "runs/segment/dogs/dogs.jpg",
        "runs/segment/dogs/labels/dogs.txt",
        "output/dogs.txt",
        "runs/segment/train/weights.safetensors",
        "runs/segment/train/weights.onnx",
    } <= written
    everything = cv2.imread("output/everything.jpg")
    assert everything.shape == image.shape
    assert (np.abs(everything.astype(int) - image).max(axis=2) > 60).mean() > 0.02
    assert "objects" in capsys.readouterr().out
