"""The quality columns of the comparison: masks from boxes and points, their outlines, and followed objects.

They are measured on labelled data with official weights. With random weights they would mean nothing, and are left
out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from streamseg.evaluation.boundary import boundary_distance_px, boundary_iou
from streamseg.evaluation.overlap import mask_iou
from streamseg.evaluation.prompt_tracking import SequenceFrame, TrackingMethod
from streamseg.evaluation.prompted import box_prompt, innermost_point
from streamseg.evaluation.truth import labelled_images
from streamseg.evaluation.video import evaluate_video
from streamseg.pipeline import Pipeline
from streamseg.pipeline.segment_function import SegmentFunction
from streamseg.structures.frame import Frame
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import SpatialPrompt
from streamseg.tiers import Tiers
from streamseg.tiers.quality.decoded import decoded_masks
from streamseg.tiers.quality.everything import POINTS_AT_ONCE
from streamseg.tiers.quality.model import PromptableModel, Queries

__all__ = ["EVAL_RESULTS", "followed_quality", "network_quality", "prompted_quality"]

EVAL_RESULTS: Final = Path(__file__).parents[1] / "results" / "eval.json"
"""Results of `streamseg eval all` for the default network."""
BOX: Final = "box"
"""Prompt of the first frame of a sequence, as it is named in the results of `streamseg eval video`."""
DIGITS: Final = 4


def prompted_quality(model: PromptableModel, folder: Path, *, limit: int | None = None) -> dict[str, float]:
    """Return the quality of a promptable model's own masks, without the network of streamseg.

    Each labelled object is prompted with its box, and with its innermost point, of whose candidates the one with the
    highest predicted IoU counts.

    Args:
        model: the model.
        folder: a folder in COCO's format.
        limit: maximum number of images; None for all.

    Returns:
        `box_miou`, `point_miou`, `box_boundary_iou` (0..1, nan without objects), and `num_objects`.
    """
    ious: dict[str, list[float]] = {"box_miou": [], "point_miou": [], "box_boundary_iou": []}
    for image, truth in labelled_images(folder, limit=limit):
        size = (image.shape[0], image.shape[1])
        targets = [truth.masks[row] for row in truth.objects]
        if not targets:
            continue
        embedding = model.encode(image)
        boxes = Queries.of_boxes([box_prompt(truth, row).box for row in truth.objects])
        points = Queries.of_points(np.array([innermost_point(one) for one in targets], np.float32))
        found = {}
        for kind, queries in (("box", boxes), ("point", points)):
            parts = [queries[start : start + POINTS_AT_ONCE] for start in range(0, len(queries), POINTS_AT_ONCE)]
            found[kind] = [one.mask for part in parts for one in decoded_masks(model.decode(embedding, part), size)]
        distance_px = boundary_distance_px(size)
        for target, by_box, by_point in zip(targets, found["box"], found["point"], strict=True):
            ious["box_miou"].append(mask_iou(by_box, target))
            ious["point_miou"].append(mask_iou(by_point, target))
            ious["box_boundary_iou"].append(boundary_iou(by_box, target, distance_px))
    means = {name: round(float(np.mean(values)), DIGITS) if values else float("nan") for name, values in ious.items()}
    return {**means, "num_objects": len(ious["box_miou"])}


def followed_quality(
    segment: SegmentFunction, tiers: Callable[[], Tiers], folder: Path, *, limit: int | None = None
) -> dict[str, float]:
    """Return J&F of objects that the pipeline follows with a tier without a budget, from a box in the first frame.

    Args:
        segment: the network of the pipeline.
        tiers: opens the tier, once per sequence.
        folder: a folder of sequences, see `evaluate_video`.
        limit: maximum number of frames per sequence, 3 or more; None for all.

    Returns:
        `j_and_f`, 0..1; `j_and_f_without` the tier, in the same run; and `num_frames`.
    """
    scores = evaluate_video(segment, folder, methods={"tier": _followed_with(segment, tiers)}, limit=limit)
    by_method = scores.by_prompt[BOX]
    return {
        "j_and_f": round(by_method["tier"].region_and_contour, DIGITS),
        "j_and_f_without": round(by_method["guided"].region_and_contour, DIGITS),
        "num_frames": scores.num_frames,
    }


def _followed_with(segment: SegmentFunction, tiers: Callable[[], Tiers]) -> TrackingMethod:
    """Return a method that runs a pipeline with tiers over a sequence."""

    def track(prompt: SpatialPrompt, frames: Iterable[SequenceFrame]) -> Iterator[CropMask]:
        pipeline = Pipeline(segment, prompts=(prompt,), tiers=tiers())
        for index, one in enumerate(frames):
            time_ns = round(one.time_seconds * 1e9)
            frame = Frame(one.image, "sequence", index, one.time_seconds, time_ns, "arrival", time_ns)
            selected = pipeline([frame])[0].of(prompt.prompt_id)
            yield selected[0].mask if selected else CropMask(np.zeros((0, 0), np.bool_), 0, 0)

    return track


def network_quality(results: Path = EVAL_RESULTS) -> dict[str, Any]:
    """Return the quality of the default network from the results of `streamseg eval`; empty without the file.

    `box_miou` and `point_miou` are those of prompts that are search regions, too, as those of a run are; the outline is
    that of masks selected by boxes alone.
    """
    if not results.is_file():
        return {}
    contents = json.loads(results.read_text("utf-8"))
    protocols = contents["protocols"]
    prompted, boundary = protocols["prompted"]["scores"], protocols["boundary"]["scores"]
    video = protocols["video"]["scores"]
    return {
        "box_miou": round(prompted["guided_box"]["mean_iou"], DIGITS),
        "point_miou": round(prompted["guided_one_point"]["mean_iou"], DIGITS),
        "box_boundary_iou": round(boundary["prompted"]["boundary_iou"], DIGITS),
        "j_and_f": round(video["by_prompt"][BOX]["guided"]["region_and_contour"], DIGITS),
        "num_objects": prompted["num_objects"],
        "num_frames": video["num_frames"],
        "weights_sha256": contents["weights"]["sha256"],
        "measured": contents["measured"],
    }
