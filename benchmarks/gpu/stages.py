"""`stages`: parts of the step on the device, by CUDA events; by the clock on a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from benchmarks.gpu.cases import CONF, IOU, Case, network_flops, scene_images, seeded_network, seeded_refiner
from benchmarks.gpu.modes import is_cuda
from benchmarks.gpu.workers import Request
from benchmarks.harness import Timing
from streamseg.engines.torch_engine import TorchEngine
from streamseg.geometry import letterbox
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.device.shapes import BatchShape, crop_pixels_for, rows_for
from streamseg.segmentation.device.step import DeviceStep, StepOptions

__all__ = ["event_timings", "gpu_memory", "stages"]

NUM_WARMUPS = 3


def stages(request: Request) -> dict[str, Any]:
    """Time the stages of the device step, launched one by one, and the whole step as one CUDA graph.

    `network_tflops` is the arithmetic of the network in the time of its stage.
    """
    case, device = request.measurement.case, request.device
    on_cuda = is_cuda(device)
    network = seeded_network(case, request.num_objects)
    refiner = seeded_refiner(case)
    engine = TorchEngine(network, device=device, half=on_cuda, imgsz=case.imgsz, refiner=refiner, selects=True)
    step, inputs = _step(engine, case, device, request.num_objects)
    times: dict[str, list[float]] = {}

    def run_once() -> None:
        marks: list[tuple[str, Any]] = [("", _now(on_cuda))]
        step(inputs, lambda stage: marks.append((stage, _now(on_cuda))))
        if on_cuda:
            torch.cuda.synchronize()
        for (_, begin), (stage, end) in pairwise(marks):
            elapsed = begin.elapsed_time(end) / 1000 if on_cuda else end - begin
            times.setdefault(stage, []).append(elapsed)

    with torch.inference_mode():
        _repeat(run_once, request.seconds / 2, request.num_runs)
        replay = _captured(lambda: step(inputs)) if on_cuda else None
        whole = None if replay is None else event_timings(replay, device, request.seconds / 2, request.num_runs)
    engine.close()
    timings = {stage: Timing.of(values[_num_warmups(values) :]) for stage, values in times.items()}
    flops = network_flops(case) * case.batch
    return {
        "stages_ms": timings,
        "graph_ms": whole,
        "network_gflop": round(flops / 1e9, 1),
        "network_tflops": round(flops / timings["network"].p50 / 1e9, 2),
    }


def event_timings(work: Callable[[], object], device: str, seconds: float, num_runs: int) -> Timing:
    """Time some work on the device's current stream, run by run."""
    on_cuda = is_cuda(device)
    times: list[float] = []

    def run_once() -> None:
        begin = _now(on_cuda)
        work()
        end = _now(on_cuda)
        if on_cuda:
            torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1000 if on_cuda else end - begin)

    _repeat(run_once, seconds, num_runs)
    return Timing.of(times[_num_warmups(times) :])


def gpu_memory() -> dict[str, float]:
    """Return the peak of torch's memory since it was reset, and the memory of the GPU that all programs use now."""
    free, total = torch.cuda.mem_get_info()
    peak = torch.cuda.max_memory_allocated()
    return {"peak_mb": round(peak / 1e6, 1), "gpu_used_mb": round((total - free) / 1e6, 1)}


def _step(engine: TorchEngine, case: Case, device: str, num_objects: int) -> tuple[DeviceStep, dict[str, torch.Tensor]]:
    """Return the step of a live run, with search regions of tracks, and its inputs."""
    images = scene_images(case.batch)
    place = letterbox(images[0].shape[:2], case.imgsz)
    rows = rows_for(num_objects, num_objects)
    crops = crop_pixels_for(0, place.image_size)
    shape = BatchShape(place, case.batch, rows, crops, expected=64, refines=case.sharp)
    settings = SelectionSettings(conf=CONF, iou=IOU, max_det=num_objects, expected_conf=0.05)
    options = StepOptions(settings, engine.refiner, case.sharp, embeds=True)
    step = DeviceStep(engine.predict, options, shape, torch.device(device))
    layout = shape.inputs()
    inputs = layout.views(torch.zeros(layout.num_bytes, dtype=torch.uint8, device=device))
    for row, image in enumerate(images):
        inputs["images"][row].copy_(torch.from_numpy(image))
    return step, inputs


def _captured(work: Callable[[], object]) -> Callable[[], None]:
    """Capture some work as a CUDA graph, and return its replay. Libraries allocate per stream, before the capture."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(NUM_WARMUPS):
            work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        work()
    return graph.replay


def _repeat(work: Callable[[], None], seconds: float, num_runs: int) -> None:
    """Repeat some work for a time, at least twice."""
    ends = time.monotonic() + seconds
    for run in range(num_runs + NUM_WARMUPS):
        if run >= 2 and time.monotonic() > ends:
            return
        work()


def _num_warmups(values: list[float]) -> int:
    """Return how many of the first runs do not count: fewer if there are few."""
    return min(NUM_WARMUPS, len(values) - 1)


def _now(on_cuda: bool) -> Any:
    if not on_cuda:
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
