"""Measure an NVIDIA GPU: correctness against the CPU first, then sizes s at 640 and x at 1024 with seeded weights.

Random weights cause the same work as trained ones; their scores are shifted so that a typical number of anchors and
objects passes the usual threshold. `torch` selects on the host, `eager` is `engine: device` without CUDA graphs, and
`graph` with them. `network` of the latter two only starts the work; `postprocess` includes the wait for it. `device
step` lists the stages on the device, launched one by one, by CUDA events. `end to end` is a frame from its capture to
the encoded message: segmentation, tracking, masks, wire encoding.

With --pack DIR, nothing is measured: DIR gets all that the benchmark needs on a machine with torch, NumPy and OpenCV
alone, and the script DIR/run.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch

from benchmarks.gpu_pack import pack
from benchmarks.harness import Timing, parser, report
from streamseg.engines.torch_engine import TorchEngine
from streamseg.geometry import letterbox
from streamseg.modeling.preprocess import letterbox_images
from streamseg.modeling.yolov8 import Size, YoloV8Network, build_yolov8
from streamseg.pipeline import Pipeline
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.device.shapes import BatchShape, crop_pixels_for, rows_for
from streamseg.segmentation.device.step import DeviceStep, StepOptions
from streamseg.structures.frame import Frame
from streamseg.synthetic import SceneRenderer
from streamseg.wire import encode

Mode = Literal["torch", "eager", "graph"]


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    size: Size
    reg_max: int
    imgsz: int
    batch: int


CASES: Final = (
    Case("s", 16, 640, 1),
    Case("s", 16, 640, 8),
    Case("s", 16, 640, 16),
    Case("x", 26, 1024, 1),
    Case("x", 26, 1024, 4),
)

FLOORS: Final = {("s", 1): ("3", "4"), ("x", 1): ("4 to 4.5", "10 to 12")}
"""Estimated floors of a frame end to end in ms, on an H200 and on an RTX 3090, by size and batch; see docs/gpu.md."""

CANDIDATES_PER_OBJECT: Final = 6
"""Anchors above the threshold per object, as in trained networks."""

BOX_LIMIT_PX, SCORE_LIMIT, MASK_LIMIT = 0.05, 2e-3, 2e-3
"""Largest differences from the CPU in float32: boxes, scores, and the share of pixels of masks."""


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--pack", type=Path, metavar="DIR", help="write all that another machine needs, and stop")
    arguments.add_argument("--python", default="3.12", help="version of Python that --pack is for (default: 3.12)")
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument(
        "--modes", nargs="+", choices=("torch", "eager", "graph"), default=["torch", "eager", "graph"]
    )
    arguments.add_argument("--seconds", type=float, default=270, help="time for measuring frames (default: 270)")
    arguments.add_argument("--runs", type=int, default=100, help="maximum number of runs of a case (default: 100)")
    arguments.add_argument("--objects", type=int, default=50)
    arguments.add_argument("--cases", type=int, default=len(CASES), help="number of cases, taken from the start")
    args = arguments.parse_args()
    if args.pack is not None:
        print(pack(args.pack, args.python))
        return 0
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print("bench gpu: torch finds no CUDA GPU; use --device cpu to try the command", file=sys.stderr)
        return 2
    ends = time.monotonic() + args.seconds
    cases = CASES[: args.cases]
    # Graphs need a GPU; on the CPU, both are the same.
    modes = [mode for mode in args.modes if mode != "eager" or args.device.startswith("cuda")]
    checks = [_check(case, args.device, args.objects) for case in cases if case.batch == 1]
    for check in checks:
        print(f"size {check['size']}: {'equal to the CPU' if check['is_equal'] else 'DIFFERS FROM THE CPU'}: {check}")
    rows: list[dict[str, Any]] = []
    left = len(cases) * len(modes)
    for case in cases:
        for mode in modes:
            share = max(ends - time.monotonic(), 0) / left
            rows.append(_measure(case, mode, args.device, share, args.runs, args.objects))
            left -= 1
            print(_line(rows[-1]), flush=True)
    steps = []
    for case in cases:
        timings = _stages(case, args.device, args.objects, args.seconds / 20, args.runs)
        steps.append({"size": case.size, "batch": case.batch, "stages_ms": timings})
        listed = ", ".join(f"{stage} {timing.p50:.2f}" for stage, timing in timings.items())
        print(f"device step, size {case.size}, batch {case.batch}: p50 in ms: {listed}", flush=True)
    results = {"benchmark": "gpu", "objects": args.objects, "checks": checks, "rows": rows, "steps": steps}
    report(results, args.json)
    return 0 if all(check["is_equal"] for check in checks) else 1


def _line(row: dict[str, Any]) -> str:
    stages = ", ".join(f"{name} {timing.p50:.2f}" for name, timing in row["stages_ms"].items())
    floors = FLOORS.get((row["size"], row["batch"]))
    floor = "" if floors is None else f" | floor, estimated: H200 {floors[0]} ms, RTX 3090 {floors[1]} ms"
    return (
        f"{row['mode']:5} size {row['size']} at {row['imgsz']}, batch {row['batch']}: end to end {row['end_to_end_ms']}"
        f"{floor}\n      stages, p50 in ms: {stages} | {row['frames_per_second']:.0f} frames/s"
        f" | peak {row['peak_mb'] or float('nan'):.0f} MB | first batch {row['first_ms']:.0f} ms"
    )


def _segmenter(case: Case, mode: Mode, device: str, num_objects: int, *, half: bool, **options: Any) -> Segmenter:
    network = _network(case, CANDIDATES_PER_OBJECT * num_objects)
    engine = TorchEngine(
        network, device=device, half=half, imgsz=case.imgsz, selects=mode != "torch", graphs=mode == "graph"
    )
    return Segmenter(engine=engine, iou=0.9, max_det=num_objects, **options)


def _check(case: Case, device: str, num_objects: int) -> dict[str, Any]:
    """Compare `engine: device` in float32 with the host's path on the CPU, for one image."""
    image = SceneRenderer(1280, 720, seed=1).render(0)
    found = []
    for mode, place in (("torch", "cpu"), ("graph", device)):
        with _segmenter(case, mode, place, num_objects, half=False, embeddings=True) as segmenter:
            for _ in range(3):  # eager, captured, replayed
                (instances,) = segmenter([image])
            found.append((instances, [mask() for mask in instance_masks(instances)]))
    (expected, masks), (instances, others) = found
    same = len(expected) == len(instances)
    boxes = float((expected.boxes - instances.boxes).abs().max()) if same else math.inf
    scores = float((expected.scores - instances.scores).abs().max()) if same else math.inf
    pixels = float(np.mean([np.mean(a != b) for a, b in zip(masks, others, strict=True)])) if same else math.inf
    is_equal = boxes <= BOX_LIMIT_PX and scores <= SCORE_LIMIT and pixels <= MASK_LIMIT
    return {
        "size": case.size,
        "objects": [len(expected), len(instances)],
        "boxes_px": boxes,
        "scores": scores,
        "mask_pixels": pixels,
        "is_equal": is_equal,
    }


def _measure(case: Case, mode: Mode, device: str, seconds: float, num_runs: int, num_objects: int) -> dict[str, Any]:
    """Measure one case for a given time, at least one run after the first two, which prepare."""
    on_cuda = device.startswith("cuda")
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    segmenter = _segmenter(case, mode, device, num_objects, half=on_cuda, embeddings=True)
    pipeline = Pipeline(segmenter)
    scenes = [SceneRenderer(1280, 720, seed=seed) for seed in range(case.batch)]
    images = [[scene.render(index) for scene in scenes] for index in range(4)]
    whole: list[float] = []
    stages: dict[str, list[float]] = {}
    ends = time.monotonic() + seconds
    while len(whole) < num_runs + 2 and (len(whole) < 3 or time.monotonic() < ends):
        run = len(whole)
        now_ns = time.monotonic_ns()
        frames = [
            Frame(image, f"camera{number}", run, run / 30, time.time_ns(), "driver", now_ns)
            for number, image in enumerate(images[run % len(images)])
        ]
        started = time.perf_counter()
        for message in pipeline(frames):
            encode(message)
        whole.append(time.perf_counter() - started)
        for name, stage in pipeline.timer.stages.items():
            stages.setdefault(name, []).append(stage.last / 1000)
    segmenter.close()
    measured = whole[2:]
    return {
        "mode": mode,
        "size": case.size,
        "imgsz": case.imgsz,
        "batch": case.batch,
        "input": "1280x720",
        "half": on_cuda,
        "first_ms": whole[0] * 1000,
        "stages_ms": {name: Timing.of(values[-len(measured) :]) for name, values in stages.items()},
        "end_to_end_ms": Timing.of(measured),
        "frames_per_second": case.batch / float(np.median(measured)),
        "peak_mb": torch.cuda.max_memory_allocated() / 1e6 if on_cuda else None,
    }


def _stages(case: Case, device: str, num_objects: int, seconds: float, num_runs: int) -> dict[str, Timing]:
    """Time the stages of the device step, launched one by one: by events on a GPU, by the clock on the CPU."""
    on_cuda = device.startswith("cuda")
    engine = TorchEngine(_network(case, CANDIDATES_PER_OBJECT * num_objects), device=device, half=on_cuda, selects=True)
    place = letterbox((720, 1280), case.imgsz)
    shape = BatchShape(
        place, case.batch, rows_for(num_objects, num_objects), crop_pixels_for(0, place.image_size), expected=64
    )
    settings = SelectionSettings(conf=0.25, iou=0.9, max_det=num_objects, expected_conf=0.05)
    step = DeviceStep(engine.predict, StepOptions(settings, embeds=True), shape, torch.device(device))
    layout = shape.inputs()
    inputs = layout.views(torch.zeros(layout.num_bytes, dtype=torch.uint8, device=device))
    scene = torch.from_numpy(SceneRenderer(1280, 720, seed=0).render(0)).to(device)
    inputs["images"].copy_(scene.expand(case.batch, -1, -1, -1))
    times: dict[str, list[float]] = {}
    ends = time.monotonic() + seconds
    run = 0
    while run < num_runs + 2 and (run < 3 or time.monotonic() < ends):
        marks: list[tuple[str, Any]] = [("", _now(on_cuda))]
        with torch.inference_mode():
            step(inputs, lambda stage, marks=marks: marks.append((stage, _now(on_cuda))))  # type: ignore[misc]
        if on_cuda:
            torch.cuda.synchronize()
        for (_, begin), (stage, end) in pairwise(marks):
            elapsed = begin.elapsed_time(end) / 1000 if on_cuda else end - begin
            times.setdefault(stage, []).append(elapsed)
        run += 1
    engine.close()
    return {stage: Timing.of(values[2:]) for stage, values in times.items()}


def _now(on_cuda: bool) -> Any:
    if not on_cuda:
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


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
