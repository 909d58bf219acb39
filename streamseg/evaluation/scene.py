"""Detection and tracking on the rendered scene, whose ground truth is exact to the pixel.

Whole objects must be found. Their parts (head, wheel …) are neither right nor wrong. Tracks are evaluated only if they
lie on a whole object, because the ground truth does not name the contents of the background.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamseg.config import TrackingConfig
from streamseg.evaluation.hota import score_hota
from streamseg.evaluation.identity import IdentityFrame, score_identities
from streamseg.evaluation.matching import ImageMatches, match_image
from streamseg.evaluation.overlap import mask_ious
from streamseg.evaluation.proposals import PRECISION_PROPOSALS, score_matches
from streamseg.evaluation.truth import OnImage, RankInstances, SegmentImages, own_scores
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.arrays import Float64Array, IndexArray
from streamseg.structures.mask import CropMask
from streamseg.synthetic import SceneRenderer, SceneTruth
from streamseg.tracking import Tracker

__all__ = ["SEEDS", "SceneScores", "evaluate_scene"]

SEEDS = range(4)
"""Seeds used neither for training (`streamseg.training.scenes`) nor for tuning the tracker."""
SIZE = (720, 1280)
NUM_OBJECTS = 12
SECONDS = 20.0
FPS = 10.0

_NEVER_COUNTS = 1e20
"""An area outside every range: proposals that match an object of this area are ignored."""


@dataclass(frozen=True)
class SceneScores:
    """Scores over all scenes, 0..1 except for counts; nan if there is nothing to find."""

    num_scenes: int
    num_frames: int
    num_objects: int
    """Number of whole objects, summed over frames."""
    average_precision: float
    """AP of masks of whole objects over IoU 0.50:0.95 at 100 proposals per frame."""
    average_precision_50: float
    recall_100: float
    """AR of masks over IoU 0.50:0.95 at 100 proposals per frame."""
    idf1: float
    hota: float
    detection_accuracy: float
    """DetA of HOTA."""
    association_accuracy: float
    """AssA of HOTA."""
    localisation_accuracy: float
    """LocA of HOTA."""
    num_switches: int
    num_fragmentations: int
    hota_at: tuple[float, ...]
    """HOTA at similarity thresholds 0.05, 0.10 … 0.95."""


def evaluate_scene(
    segment: SegmentImages,
    *,
    live_segment: SegmentImages | None = None,
    seeds: Iterable[int] = SEEDS,
    seconds: float = SECONDS,
    fps: float = FPS,
    tracking: TrackingConfig | None = None,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
    rank: RankInstances = own_scores,
) -> SceneScores:
    """Segment scenes and track their objects.

    Args:
        segment: the segmenter for detection scores, with a very low score threshold: precision covers all ranks.
        live_segment: the segmenter that feeds the tracker, as in a live run; None to use `segment`. Filtering the
            results of `segment` by score would not be equivalent, because a live run thresholds raw scores and uses
            them for suppression.
        seeds: seeds of the scenes.
        seconds: duration of each scene.
        fps: frames per second.
        tracking: settings of the tracker; None for the defaults.
        limit: maximum number of frames per scene, taken from the start; None for all.
        on_image: progress callback, counting frames.
        rank: the scores that count for detection, such as `ranking_scores`; tracks are fed with the scores themselves.
    """
    seeds = list(seeds)
    num_frames = min(round(seconds * fps), limit if limit is not None else round(seconds * fps))
    matches: list[ImageMatches] = []
    tracks: list[IdentityFrame] = []
    scores = []
    for position, seed in enumerate(seeds):
        renderer = SceneRenderer(SIZE[1], SIZE[0], num_objects=NUM_OBJECTS, seed=seed, fps=fps)
        tracker = Tracker(tracking if tracking is not None else TrackingConfig())
        scene_tracks = []
        for index in range(num_frames):
            found, tracked = _evaluate_frame(segment, live_segment, renderer, tracker, index, rank)
            matches.append(found)
            scene_tracks.append(tracked)
            on_image(position * num_frames + index + 1, len(seeds) * num_frames)
        scores.append(score_identities(scene_tracks))
        tracks += _renumbered(scene_tracks, position)
    masks, hota = score_matches(matches), score_hota(tracks)
    num_truth, num_predicted = sum(one.num_truth for one in scores), sum(one.num_predicted for one in scores)
    return SceneScores(
        num_scenes=len(seeds),
        num_frames=len(matches),
        num_objects=num_truth,
        average_precision=masks.precision,
        average_precision_50=masks.precision_50,
        recall_100=masks.recall[100],
        idf1=2 * sum(one.num_identity_matches for one in scores) / max(num_truth + num_predicted, 1),
        hota=hota.hota,
        detection_accuracy=hota.detection_accuracy,
        association_accuracy=hota.association_accuracy,
        localisation_accuracy=hota.localisation_accuracy,
        num_switches=sum(one.num_switches for one in scores),
        num_fragmentations=sum(one.num_fragmentations for one in scores),
        hota_at=hota.hota_at,
    )


def _evaluate_frame(
    segment: SegmentImages,
    live_segment: SegmentImages | None,
    renderer: SceneRenderer,
    tracker: Tracker,
    index: int,
    rank: RankInstances,
) -> tuple[ImageMatches, IdentityFrame]:
    """Return the detections and the tracks of one frame, matched with the ground truth."""
    truth, images = renderer.truth(index), [renderer.render(index)]
    instances = segment(images)[0].to("cpu")
    scores, order = rank(instances).sort(descending=True, stable=True)
    best = order[:PRECISION_PROPOSALS]  # no measure uses more
    masks = instance_masks(instances, best, as_pixels=True)
    found = match_image(
        _overlaps(masks, truth),
        scores[: len(masks)].numpy().astype(np.float64),
        np.array([mask.area for mask in masks], dtype=np.float64),
        np.where(truth.is_part, _NEVER_COUNTS, [float(mask.area) for mask in truth.masks]),
        np.zeros(len(truth.masks), dtype=np.bool_),
    )
    if live_segment is not None:
        instances = live_segment(images)[0].to("cpu")
    ious = _overlaps(instance_masks(instances, as_pixels=True), truth)
    tracked = tracker.update(instances, index / renderer.fps)
    similarity = ious[:, ~truth.is_part].T
    counted = similarity.max(axis=0, initial=0.0) >= 0.5
    return found, IdentityFrame(
        truth.track_ids[~truth.is_part], tracked.track_ids.numpy()[counted], similarity[:, counted]
    )


def _overlaps(masks: Sequence[CropMask], truth: SceneTruth) -> Float64Array:
    """Return the IoU (K, N) of masks with all objects and parts of the scene."""
    return mask_ious(masks, truth.masks, np.zeros(len(truth.masks), dtype=np.bool_))


def _renumbered(frames: Sequence[IdentityFrame], scene: int) -> list[IdentityFrame]:
    """Make the identities of a scene unique among all scenes."""
    return [
        replace(frame, truth_ids=_offset(frame.truth_ids, scene), predicted_ids=_offset(frame.predicted_ids, scene))
        for frame in frames
    ]


def _offset(ids: IndexArray, scene: int) -> IndexArray:
    return np.where(ids < 0, ids, ids + scene * 2**40)
