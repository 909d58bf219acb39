"""One measurement, by its kind; `frames` is measured here: frames from their capture to the encoded message."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch

from benchmarks.gpu.cases import Case, scene_images, seeded_network
from benchmarks.gpu.check import check, half_differences, network_inputs
from benchmarks.gpu.live import live
from benchmarks.gpu.modes import OpenedEngine, is_cuda, open_engine, segmenter_of
from benchmarks.gpu.stages import event_timings, gpu_memory, stages
from benchmarks.gpu.workers import Request
from benchmarks.harness import Timing
from streamseg.engines import leave_cores
from streamseg.engines.torch_engine import TorchEngine
from streamseg.modeling.network import Network
from streamseg.pipeline import Pipeline
from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Frame
from streamseg.wire import encode

__all__ = ["measure"]

NUM_WARMUPS: Final = 6
"""Batches before the measured ones: graphs are captured for every shape, and tracks change the shape."""
NUM_IMAGES: Final = 4
"""Different images per source."""


def measure(request: Request) -> dict[str, Any]:
    """Make a measurement, and return its values, see the modules; with the memory of the GPU, if it is one."""
    on_cuda = is_cuda(request.device)
    if on_cuda:
        torch.cuda.init()
        torch.cuda.set_device(request.device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    kinds = {"check": check, "frames": frames, "stages": stages, "live": live}
    values = kinds[request.measurement.kind](request)
    return {**values, **gpu_memory()} if on_cuda else values


def frames(request: Request) -> dict[str, Any]:
    """Measure batches in one mode: segmentation, tracking, masks and the encoding of messages, one after the other.

    `stages_ms` are those of the pipeline; with `engine: device` and `tensorrt`, `network` only starts the work, and
    `postprocess` waits for it. `network_ms` is TensorRT's network alone, by events.
    """
    case, mode, device = request.measurement.case, request.measurement.mode, request.device
    half = is_cuda(device)
    network = seeded_network(case, request.num_objects)
    opened = open_engine(case, mode, device, network, half=half)
    leave_cores(opened.engine)  # as in a run
    extra = _tensorrt_values(opened, case, network, request) if mode == "tensorrt" else {}
    with segmenter_of(opened.engine, request.num_objects) as segmenter:
        pipeline = Pipeline(segmenter)
        images = [scene_images(case.batch, index) for index in range(NUM_IMAGES)]
        whole: list[float] = []
        timed: dict[str, list[float]] = {}
        num_objects: list[int] = []
        began = time.monotonic()
        num_warmups = NUM_WARMUPS
        while len(whole) < num_warmups + request.num_runs:
            elapsed = time.monotonic() - began
            if len(whole) < num_warmups and elapsed > request.seconds / 2:
                num_warmups = len(whole)  # a slow device: a CPU that tries the benchmark
            if len(whole) > num_warmups and elapsed > request.seconds:
                break
            seconds, counts = _run(pipeline, images[len(whole) % NUM_IMAGES], len(whole))
            whole.append(seconds)
            num_objects += counts
            for name, stage in pipeline.timer.stages.items():
                timed.setdefault(name, []).append(stage.last / 1000)
    measured = whole[num_warmups:]
    return {
        "half": half,
        "objects": float(np.mean(num_objects)),
        "first_ms": round(whole[0] * 1000, 1),
        "warmups": num_warmups,
        "end_to_end_ms": Timing.of(measured),
        "frames_per_second": round(case.batch / float(np.median(measured)), 3),
        "stages_ms": {name: Timing.of(values[-len(measured) :]) for name, values in timed.items()},
        "export_seconds": opened.export_seconds,
        **extra,
    }


def _run(pipeline: Pipeline, images: Sequence[ImageArray], index: int) -> tuple[float, list[int]]:
    """Process a batch of one frame per source, and return its seconds and the number of objects of each frame."""
    now_ns = time.monotonic_ns()
    batch = [
        Frame(image, f"camera{number}", index, index / 30, time.time_ns(), "driver", now_ns)
        for number, image in enumerate(images)
    ]
    started = time.perf_counter()
    messages = pipeline(batch)
    for message in messages:
        encode(message)
    return time.perf_counter() - started, [len(message.objects) for message in messages]


def _tensorrt_values(opened: OpenedEngine, case: Case, network: Network, request: Request) -> dict[str, Any]:
    """Return the time of the plan and of the network, and how far the network is from torch's in float32."""
    pixels = network_inputs(case, request.device)
    reference = TorchEngine(network, device=request.device, half=False, imgsz=case.imgsz)
    predict = opened.engine.predict  # type: ignore[attr-defined]
    with torch.inference_mode():
        differences = half_differences(predict(pixels), reference.predict(pixels))
        reference.close()
        timing = event_timings(lambda: predict(pixels), request.device, request.seconds / 4, request.num_runs)
    return {"build_seconds": opened.build_seconds, "network_ms": timing, "half_check": differences}
