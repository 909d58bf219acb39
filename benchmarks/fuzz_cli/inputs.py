"""Valid files, and command lines of every subcommand that use them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from streamseg.weights import save_weights
from tests.support.checkpoints import official_checkpoint, tiny_network
from tests.support.datasets import coco_folder, compressed
from tests.support.images import disc, paint
from tests.support.videos import write_video

SIZE = (60, 80)
"""Height and width of all images in pixels."""

CONFIG = """\
sources:
  - {type: stream, id: door, url: video.mp4, mode: every_frame}
segmentation: {weights: net.safetensors, imgsz: 64, conf: 0.3, engine: torch, device: cpu}
tracking: {max_lost_seconds: 2}
prompts:
  - {id: cup, points: [[40, 30]], labels: [1]}
  - {id: tray, box: [10, 10, 60, 50]}
publish: {endpoint: null, single_endpoint: null, control_endpoint: null}
"""
RECIPE = """\
sources:
  - {path: things, weight: 1.0}
scene_weight: 0
imgsz: 64
settings: {size: n, num_steps: 1, batch_size: 2, sizes: [32], num_warmup_steps: 1}
"""
NETWORK = ("--weights", "net.safetensors", "--engine", "torch", "--device", "cpu", "--imgsz", "64")


@dataclass(frozen=True)
class Seed:
    """A valid command line; relative paths start at the folder of the files."""

    arguments: tuple[str, ...]
    files: tuple[str, ...] = ()
    """Files that the command reads, to be changed."""
    share: float = 1.0
    """Relative number of its runs: slow commands run less often."""


SEEDS = (
    Seed(("check-config", "config.yaml"), ("config.yaml",), 4),
    Seed(("check-config", "--source", "rtsp://admin:pw@10.0.0.5:554/h264", "--set", "segmentation.conf=0.4"), (), 2),
    Seed(("run", "config.yaml", "--no-publish"), ("config.yaml", "video.mp4", "net.safetensors"), 3),
    Seed(("run", "config.yaml", "--source", "images", "--no-publish", "--duration", "2"), ("images/a.png",), 2),
    Seed(("segment", "photo.jpg", "--out", "out", *NETWORK), ("photo.jpg", "net.safetensors"), 4),
    Seed(("segment", "images", "--out", "out", *NETWORK), ("images/a.png", "images/b.jpg", "images/c.webp"), 4),
    Seed(("segment", "video.mp4", "--out", "out", "--vid_stride", "2", *NETWORK), ("video.mp4",), 4),
    Seed(("segment", "photo.jpg", "--out", "out", "--points", "[[40, 30]]", "--labels", "[1]", *NETWORK), (), 3),
    Seed(("segment", "photo.jpg", "--out", "out", "--boxes", "[[10, 10, 60, 50]]", *NETWORK), (), 2),
    Seed(
        (
            *("segment", "--img_path", "photo.jpg", "--model_path", "net.safetensors", "--output", "out/"),
            *("--point_prompt", "[[40,30]]", "--point_label", "[1]", "--imgsz", "64", "--device", "cpu"),
            *("--engine", "torch"),
        ),
        ("photo.jpg",),
        3,
    ),
    Seed(("subscribe", "ipc://nobody", "--timeout", "0.05", "--count", "1", "--json"), ()),
    Seed(
        ("train", "recipe.yaml", "--data", ".", "--out", "out/run", "--workers", "0", "--device", "cpu"),
        ("recipe.yaml", "things/instances.json", "things/images/001.png"),
        0.7,
    ),
    Seed(("train", "recipe.yaml", "--out", "out/run", "--set", "num_steps=0"), ("recipe.yaml",), 2),
    Seed(
        ("refine", "recipe.yaml", "--weights", "net.safetensors", "--images", "1", "--epochs", "1", "--out", "out/r"),
        ("recipe.yaml", "net.safetensors", "things/instances.json"),
        0.5,
    ),
    Seed(("label", "things", "--out", "out/labelled", *NETWORK), ("things/instances.json", "things/images/001.png"), 2),
    Seed(("pack", "recipe.yaml", "--data", ".", "--out", "out/packed"), ("recipe.yaml", "things/instances.json"), 2),
    Seed(("eval", "proposals", "--data", "things", "--out", "out", *NETWORK), ("things/instances.json",), 3),
    Seed(("eval", "prompted", "--data", "things", "--limit", "1", *NETWORK), ("things/instances.json",), 1),
    Seed(("export", "--weights", "net.safetensors", "--imgsz", "64", "--out", "out/g.onnx"), ("net.safetensors",), 0.4),
    Seed(("weights", "info", "net.safetensors"), ("net.safetensors",), 2),
    Seed(("weights", "convert", "net.pt", "out/n.safetensors"), ("net.pt",), 2),
    Seed(("weights", "average", "net.safetensors", "net.safetensors", "--out", "out/a.safetensors"), (), 1),
    Seed(("weights", "list"), ()),
    Seed(
        (
            *("yolo", "segment", "predict", "model=net.safetensors", "source=photo.jpg", "imgsz=64", "device=cpu"),
            *("save_txt=True", "project=out"),
        ),
        ("photo.jpg",),
        3,
    ),
    Seed(
        ("yolo", "val", "model=net.safetensors", "data=boxes/data.yaml", "imgsz=64", "device=cpu"),
        ("boxes/data.yaml", "boxes/labels/a.txt", "boxes/images/a.png"),
        2,
    ),
    Seed(
        (
            *("yolo", "train", "model=net.safetensors", "data=boxes/data.yaml", "epochs=1", "batch=2", "imgsz=32"),
            *("workers=0", "device=cpu", "project=out"),
        ),
        ("boxes/data.yaml", "boxes/labels/a.txt"),
        0.5,
    ),
    Seed(("text", "export", "--help"), (), 0.5),
    Seed(("demo", "config.yaml", "--seconds", "0", "--no-view", "--out", "out"), ("config.yaml",), 0.3),
    Seed(("completion", "bash"), (), 0.5),
    Seed(("doctor",), (), 0.2),
    Seed(("--version",), (), 0.2),
)


def write_files(folder: Path) -> None:
    """Write the valid files of all seeds into an existing folder."""
    mask = disc(SIZE, 40, 30, 20)
    image = paint([mask], [(200, 30, 30)], SIZE)
    (folder / "images").mkdir()
    for name in ("photo.jpg", "images/a.png", "images/b.jpg", "images/c.webp"):
        Image.fromarray(image).save(folder / name)
    write_video(folder / "video.mp4", 4, size=SIZE, images=[np.roll(image, shift, axis=1) for shift in range(4)])
    coco_folder(folder / "things", [(image, [{"segmentation": compressed(mask), "iscrowd": 0}])] * 2)
    content = json.loads((folder / "things/instances.json").read_text())
    content["annotations"][0]["segmentation"] = [[20, 10, 60, 10, 60, 50, 20, 50]]
    (folder / "things/instances.json").write_text(json.dumps(content))
    for name in ("images", "labels"):
        (folder / "boxes" / name).mkdir(parents=True)
    Image.fromarray(image).save(folder / "boxes/images/a.png")
    (folder / "boxes/labels/a.txt").write_text("0 0.25 0.2 0.75 0.2 0.75 0.8 0.25 0.8\n")
    (folder / "boxes/data.yaml").write_text("train: images\nval: images\nnames: {0: thing}\n")
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "recipe.yaml").write_text(RECIPE)
    network = tiny_network()
    save_weights(network.state_dict(), folder / "net.safetensors")
    official_checkpoint(network, folder / "net.pt")
