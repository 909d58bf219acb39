"""Measure speed and memory on an NVIDIA GPU: sizes s at 640 and x at 1024, seeded weights.

Random weights cause the same work as trained ones; their scores are shifted so that a typical number of anchors and
objects passes the usual threshold. With engine torch, `network` is upload, network, decoding and the copy back; with
engine device it only starts the work. `end to end` adds letterbox, selection, tracking, full-size masks and wire
encoding.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from benchmarks.harness import Timing, parser, report
from streamseg.geometry import letterbox
from streamseg.modeling.preprocess import letterbox_images
from streamseg.modeling.yolov8 import Size, YoloV8Network, build_yolov8
from streamseg.pipeline import Pipeline
from streamseg.segmentation import Segmenter
from streamseg.structures.frame import Frame
from streamseg.synthetic import SceneRenderer
from streamseg.weights import save_weights
from streamseg.wire import encode


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    size: Size
    reg_max: int
    imgsz: int
    batch: int


CASES = (
    Case("s", 16, 640, 1),
    Case("s", 16, 640, 8),
    Case("s", 16, 640, 16),
    Case("x", 26, 1024, 1),
    Case("x", 26, 1024, 4),
)

CANDIDATES_PER_OBJECT = 6
"""Anchors above the threshold per object, as in trained networks."""


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--engine", choices=("torch", "device"), default="torch")
    arguments.add_argument("--runs", type=int, default=100)
    arguments.add_argument("--warmups", type=int, default=10)
    arguments.add_argument("--objects", type=int, default=50)
    arguments.add_argument("--cases", type=int, default=len(CASES), help="number of cases, taken from the start")
    args = arguments.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print("bench gpu: torch finds no CUDA GPU; use --device cpu to try the command", file=sys.stderr)
        return 2
    rows = []
    for case in CASES[: args.cases]:
        rows.append(_measure(case, args.engine, args.device, args.warmups, args.runs, args.objects))
        row = rows[-1]
        print(
            f"size {case.size} at {case.imgsz}, batch {case.batch}, {row['input']}: network {row['network_ms']}"
            f" | end to end {row['end_to_end_ms']} | {row['frames_per_second']:.0f} frames/s"
            f" | peak {row['peak_mb'] or float('nan'):.0f} MB"
        )
    report({"benchmark": "gpu", "engine": args.engine, "objects": args.objects, "rows": rows}, args.json)
    return 0


def _measure(
    case: Case, engine: Literal["torch", "device"], device: str, num_warmups: int, num_runs: int, num_objects: int
) -> dict[str, object]:
    on_cuda = device.startswith("cuda")
    with tempfile.TemporaryDirectory() as folder:
        network = _network(case, CANDIDATES_PER_OBJECT * num_objects)
        path = save_weights(network.state_dict(), Path(folder) / "w.safetensors")
        segmenter = Segmenter(
            path, engine=engine, device=device, half=on_cuda, imgsz=case.imgsz, iou=0.9, max_det=num_objects
        )
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    pipeline = Pipeline(segmenter)
    scenes = [SceneRenderer(1280, 720, seed=seed) for seed in range(case.batch)]
    images = [[scene.render(index) for scene in scenes] for index in range(8)]
    network, whole = [], []
    for run in range(num_warmups + num_runs):
        now_ns = time.monotonic_ns()
        frames = [
            Frame(image, f"camera{number}", run, run / 30, time.time_ns(), "driver", now_ns)
            for number, image in enumerate(images[run % len(images)])
        ]
        started = time.perf_counter()
        for message in pipeline(frames):
            encode(message)
        if run >= num_warmups:
            whole.append(time.perf_counter() - started)
            network.append(pipeline.timer.stages["network"].last / 1000)
    result = {
        "size": case.size,
        "imgsz": case.imgsz,
        "batch": case.batch,
        "input": "1280x720",
        "half": segmenter.engine.half,
        "network_ms": Timing.of(network),
        "end_to_end_ms": Timing.of(whole),
        "frames_per_second": case.batch / float(np.median(whole)),
        "peak_mb": torch.cuda.max_memory_allocated() / 1e6 if on_cuda else None,
    }
    segmenter.close()
    return result


def _network(case: Case, num_candidates: int) -> YoloV8Network:
    """Return a network with random weights that scores `num_candidates` anchors of the scene above 0.25."""
    network = build_yolov8(case.size, reg_max=case.reg_max, seed=0).eval()
    image = SceneRenderer(1280, 720, seed=0).render(0)
    pixels = letterbox_images([image], [letterbox(image.shape[:2], case.imgsz)])
    with torch.no_grad():
        logits = network(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255).score_logits[0, 0]
        shift = math.log(0.25 / 0.75) - logits.sort(descending=True).values[num_candidates]
        for branch in network.model[22].cv3:
            branch[-1].bias += shift
    return network


if __name__ == "__main__":
    sys.exit(main())
