"""The stages of one system, timed in a process of its own.

The times are CPU times of all threads together: with one thread, those of a quiet machine, whatever else runs.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.harness import Timing
from benchmarks.systems.models import System, num_parameters, opened_promptable, opened_video
from benchmarks.systems.quality import followed_quality, network_quality, prompted_quality
from streamseg.config import SegmentationConfig
from streamseg.pipeline import Pipeline
from streamseg.segmentation import Segmenter
from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Frame
from streamseg.structures.prompt import BoxPrompt
from streamseg.synthetic import SceneRenderer
from streamseg.tiers import Tiers
from streamseg.tiers.memory import SessionMemoryTier
from streamseg.tiers.quality.everything import POINTS_AT_ONCE, point_grid
from streamseg.tiers.quality.model import Queries
from streamseg.tiers.quality.tier import PromptableQualityTier
from streamseg.weights import load_weights

__all__ = ["GRID_SIDE", "measured", "scene_frames"]

SIZE: Final = (720, 1280)
"""(H, W) of the frames."""
FPS: Final = 30.0
GRID_SIDE: Final = 32
"""Points per side in everything mode: the default of segment-anything's generator."""
NUM_OBJECTS: Final = 8
"""Number of prompted objects beside one."""
NUM_PIPELINE_FRAMES: Final = 40
FULL_RUNS: Final = 2
"""Number of runs from which the memory of an object is filled before it is timed."""


def scene_frames(count: int) -> list[tuple[Frame, list[tuple[float, float, float, float]]]]:
    """Return frames of the rendered scene, each with the boxes of its objects, largest first."""
    scene = SceneRenderer(SIZE[1], SIZE[0], fps=FPS)
    frames = []
    for index in range(count):
        truth = scene.truth(index)
        order = np.argsort([-mask.area for mask in truth.masks])
        boxes = [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in truth.boxes[order]]
        frames.append((_frame(scene.render(index), index), boxes))
    return frames


def _frame(image: ImageArray, index: int) -> Frame:
    now = time.monotonic_ns()
    return Frame(image, "scene", index, index / FPS, time.time_ns(), "arrival", now)


def measured(system: System, *, num_runs: int, budget_ms: float, data: Path | None = None) -> dict[str, Any]:
    """Return the figures of one system: parameters, peak memory in MB and milliseconds by stage.

    Args:
        system: the system.
        num_runs: number of measured runs of each stage after one warm-up.
        budget_ms: budget of the tier in the pipeline.
        data: folder with eval-coco and eval-video, for the quality with official weights; None: not measured.
    """
    frames = scene_frames(NUM_PIPELINE_FRAMES)
    base_mb = _peak_mb()
    kinds = {"network": _network, "promptable": _promptable, "video": _video}
    figures = kinds[system.kind](system, frames, num_runs, budget_ms, data)
    return {"kind": system.kind, "note": system.note, **figures, "memory_mb": round(_peak_mb() - base_mb)}


def _network(
    system: System, frames: Sequence[tuple[Frame, Any]], num_runs: int, budget_ms: float, data: Path | None
) -> dict[str, Any]:
    segmenter = Segmenter.from_config(SegmentationConfig(device="cpu", engine="onnx"))
    image = frames[0][0].image
    stages = {"everything": _timed(lambda: segmenter([image]), num_runs)}
    pipeline = _run(segmenter, frames, Tiers())
    parameters = num_parameters(load_weights("default").network())
    # The evaluation sets are measured by `streamseg eval`, and nowhere else.
    quality = network_quality()
    return {"weights": "default", "parameters": parameters, "stages": stages, "pipeline": pipeline, "quality": quality}


def _promptable(
    system: System, frames: Sequence[tuple[Frame, Any]], num_runs: int, budget_ms: float, data: Path | None
) -> dict[str, Any]:
    model, weights = opened_promptable(system)
    frame, boxes = frames[0]
    embedding = model.encode(frame.image)
    points = point_grid(GRID_SIDE)[:POINTS_AT_ONCE] * np.array([SIZE[1], SIZE[0]], np.float32)
    many = [boxes[one % len(boxes)] for one in range(NUM_OBJECTS)]
    stages = {
        "encode": _timed(lambda: model.encode(frame.image), num_runs),
        "decode 1": _timed(lambda: model.decode(embedding, Queries.of_boxes(boxes[:1])), num_runs),
        f"decode {NUM_OBJECTS}": _timed(lambda: model.decode(embedding, Queries.of_boxes(many)), num_runs),
        "grid batch": _timed(lambda: model.decode(embedding, Queries.of_points(points)), min(num_runs, 2)),
    }
    tier = PromptableQualityTier(model, name=system.name, budget_ms=budget_ms)
    segmenter = _segmenter()
    pipeline = _run(segmenter, frames, Tiers(quality=tier))
    quality: dict[str, Any] = {}
    if weights is not None and data is not None:
        quality = prompted_quality(model, data / "eval-coco") | followed_quality(
            segmenter, lambda: Tiers(quality=PromptableQualityTier(model, name=system.name)), data / "eval-video"
        )
    return {
        "weights": "random" if weights is None else str(weights),
        "parameters": num_parameters(getattr(model, "model", None)),
        "stages": stages,
        "pipeline": pipeline,
        "quality": quality,
    }


def _video(
    system: System, frames: Sequence[tuple[Frame, Any]], num_runs: int, budget_ms: float, data: Path | None
) -> dict[str, Any]:
    model, weights = opened_video(system)
    frame, _ = frames[0]
    mask = np.zeros(SIZE, np.bool_)
    mask[200:500, 400:800] = True
    features, memory = model.encode(frame.image), model.open_object()
    memory.learn(features, mask)
    # The times below are those of a full memory.
    for _ in range(model.reach if num_runs >= FULL_RUNS else 2):
        memory.find(_again(features))
    stages = {
        "encode": _timed(lambda: model.encode(frame.image), num_runs),
        "learn 1": _timed(lambda: model.open_object().learn(features, mask), num_runs),
        "find 1": _timed(lambda: memory.find(_again(features)), num_runs),
    }
    tier = SessionMemoryTier(model, name=system.name, budget_ms=budget_ms)
    tier.warm_up(SIZE)
    segmenter = _segmenter()
    pipeline = _run(segmenter, frames, Tiers(memory=tier))
    quality: dict[str, Any] = {}
    if weights is not None and data is not None:
        quality = followed_quality(
            segmenter, lambda: Tiers(memory=SessionMemoryTier(model, name=system.name)), data / "eval-video"
        )
    return {
        "weights": "random" if weights is None else str(weights),
        "parameters": num_parameters(model.model),
        "stages": stages,
        "session_mb": round(memory.num_bytes() / 1e6, 1),
        "pipeline": pipeline,
        "quality": quality,
    }


def _again(features: Any) -> Any:
    """Return the same features as those of another frame."""
    return type(features)(features.vision, features.pixels, features.image_size)


def _segmenter() -> Segmenter:
    return Segmenter.from_config(SegmentationConfig(device="cpu", engine="onnx"))


def _run(
    segmenter: Segmenter,
    frames: Sequence[tuple[Frame, list[tuple[float, float, float, float]]]],
    tiers: Tiers,
) -> dict[str, Any]:
    """Return what a pipeline with a box prompt on the largest object of the first frame does, frame by frame."""
    prompts = [BoxPrompt("target", frames[0][1][0])]
    pipeline = Pipeline(segmenter, prompts=prompts, tiers=tiers)
    finish: list[float] = []
    whole: list[float] = []
    sources: dict[str, int] = {}
    for frame, _ in frames:
        begun = time.process_time()
        (instances,) = pipeline.segment([frame])
        between = time.process_time()
        message = pipeline.finish(frame, instances).message
        ended = time.process_time()
        finish.append(ended - between)
        whole.append(ended - begun)
        status = message.prompt("target")
        source = status.mask_source if status is not None else None
        sources[source or "none"] = sources.get(source or "none", 0) + 1
    warm = len(frames) // 8
    return {
        "frames": len(frames),
        "finish_ms": vars(Timing.of(finish[warm:])),
        "frame_ms": vars(Timing.of(whole[warm:])),
        "mask_source": sources,
        "counts": {one.tier: dict(one.counts) for one in pipeline.tier_reports},
    }


def _timed(function: Callable[[], object], num_runs: int) -> dict[str, Any]:
    """Return percentiles of some runs after one warm-up."""
    function()
    seconds = []
    for _ in range(num_runs):
        begun = time.process_time()
        function()
        seconds.append(time.process_time() - begun)
    return vars(Timing.of(seconds))


def _peak_mb() -> float:
    """Return the largest size of this process so far, in 10**6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
