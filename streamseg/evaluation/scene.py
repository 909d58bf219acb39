"""Objects found and followed on the rendered scene, where the truth is known to the pixel.

Whole objects are to be found; their parts (head, wheel …) are neither right nor wrong, and of what is followed
only what lies on a whole object is counted, since the scene's truth does not name what its background shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from streamseg.config import TrackingConfig
from streamseg.evaluation.hota import score_hota
from streamseg.evaluation.identity import IdentityFrame, score_identities
from streamseg.evaluation.matching import ImageMatches, match_image
from streamseg.evaluation.overlap import mask_ious
from streamseg.evaluation.proposals import PRECISION_PROPOSALS, score_matches
from streamseg.evaluation.truth import OnImage, SegmentFunction
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.message import CropMask
from streamseg.synthetic import SceneRenderer, SceneTruth
from streamseg.tracking import Tracker

__all__ = ["SEEDS", "SceneScores", "evaluate_scene"]

SEEDS = range(4)
"""Training draws scenes of other seeds (`streamseg.training.scenes`), and the tracker was tuned on others."""
SIZE = (720, 1280)
NUM_OBJECTS = 12
SECONDS = 20.0
FPS = 10.0

_NEVER_COUNTS = 1e20
"""An area outside of every range: what matches an object of this size is ignored."""


@dataclass(frozen=True)
class SceneScores:
    """Scores over all scenes, each 0..1 unless it is a number; nan where there is nothing to find."""

    num_scenes: int
    num_frames: int
    num_objects: int
    """Whole objects in all frames."""
    average_precision: float
    """AP of masks over IoU 0.50:0.95 at 100 proposals a frame, of whole objects."""
    average_precision_50: float
    recall_100: float
    """AR of masks over IoU 0.50:0.95 at 100 proposals a frame."""
    idf1: float
    hota: float
    detection_accuracy: float
    """Of HOTA."""
    association_accuracy: float
    """Of HOTA."""
    localisation_accuracy: float
    """Of HOTA."""
    num_switches: int
    num_fragmentations: int
    hota_at: tuple[float, ...]
    """At similarities 0.05, 0.10 … 0.95."""


def evaluate_scene(
    segment: SegmentFunction,
    *,
    follow: SegmentFunction | None = None,
    seeds: Iterable[int] = SEEDS,
    seconds: float = SECONDS,
    fps: float = FPS,
    tracking: TrackingConfig | None = None,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
) -> SceneScores:
    """Segment and follow scenes.

    Args:
        segment: pictures to Instances, at a very low score: precision is taken over all ranks.
        follow: finds what is followed, as in a live run; None: `segment` does. A threshold on the scores of the one
            is not the other, whose threshold is on raw scores, and which suppresses by them.
        seeds: of the scenes.
        seconds: of each scene.
        fps: frames per second.
        tracking: settings of the tracker; None for the defaults.
        limit: the most frames of each scene, the first ones; None for all.
        on_image: called with how many frames are done, and of how many.
    """
    seeds = list(seeds)
    num_frames = min(round(seconds * fps), limit if limit is not None else round(seconds * fps))
    matches: list[ImageMatches] = []
    tracks: list[IdentityFrame] = []
    scores = []
    for position, seed in enumerate(seeds):
        renderer = SceneRenderer(SIZE[1], SIZE[0], num_objects=NUM_OBJECTS, seed=seed, fps=fps)
        tracker = Tracker(tracking if tracking is not None else TrackingConfig())
        of_scene = []
        for index in range(num_frames):
            found, followed = _frame(segment, follow, renderer, tracker, index)
            matches.append(found)
            of_scene.append(followed)
            on_image(position * num_frames + index + 1, len(seeds) * num_frames)
        scores.append(score_identities(of_scene))
        tracks += _renamed(of_scene, position)
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


def _frame(
    segment: SegmentFunction, follow: SegmentFunction | None, renderer: SceneRenderer, tracker: Tracker, index: int
) -> tuple[ImageMatches, IdentityFrame]:
    """What was found and followed in one frame."""
    truth, images = renderer.truth(index), [renderer.render(index)]
    instances = segment(images)[0].to("cpu")
    masks = instance_masks(instances[:PRECISION_PROPOSALS])  # the best; nothing else is looked at
    ious = _overlaps(masks, truth)
    found = match_image(
        ious,
        instances.scores[: len(masks)].numpy().astype(np.float64),
        np.array([mask.area for mask in masks], dtype=np.float64),
        np.where(truth.is_part, _NEVER_COUNTS, [float(mask.area) for mask in truth.masks]),
        np.zeros(len(truth.masks), dtype=np.bool_),
    )
    if follow is not None:
        instances = follow(images)[0].to("cpu")
    if len(instances) != len(masks) or follow is not None:
        ious = _overlaps(instance_masks(instances), truth)
    tracked = tracker.update(instances, index / renderer.fps)
    similarity = ious[:, ~truth.is_part].T
    counted = similarity.max(axis=0, initial=0.0) >= 0.5
    return found, IdentityFrame(
        truth.track_ids[~truth.is_part], tracked.track_ids.numpy()[counted], similarity[:, counted]
    )


def _overlaps(masks: Sequence[CropMask], truth: SceneTruth) -> npt.NDArray[np.float64]:
    """IoU (K, N) of masks with everything in the scene, parts included."""
    return mask_ious(masks, truth.masks, np.zeros(len(truth.masks), dtype=np.bool_))


def _renamed(frames: Sequence[IdentityFrame], scene: int) -> list[IdentityFrame]:
    """The same with identities that no other scene has."""
    return [
        replace(frame, truth_ids=_of_scene(frame.truth_ids, scene), predicted_ids=_of_scene(frame.predicted_ids, scene))
        for frame in frames
    ]


def _of_scene(ids: npt.NDArray[np.int64], scene: int) -> npt.NDArray[np.int64]:
    return np.where(ids < 0, ids, ids + scene * 2**40)
