"""Video object segmentation: one object tracked from a prompt in the first frame, scored by J & F of DAVIS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from streamseg.capture.images import find_image_files
from streamseg.errors import DataError, SourceError
from streamseg.evaluation.davis import MeasureScores, contour_accuracy, region_similarity, summarise
from streamseg.evaluation.prompt_tracking import (
    TRACKING_METHODS,
    SequenceFrame,
    TrackingMethod,
    best_masks,
    crop_of,
    first_prompts,
    guided_tracking,
)
from streamseg.evaluation.truth import OnImage
from streamseg.imaging import load_image
from streamseg.pipeline.pipeline import SegmentFunction
from streamseg.structures.arrays import ImageArray, MaskArray
from streamseg.structures.mask import CropMask

__all__ = ["SequenceScores", "TrackingScores", "VideoScores", "evaluate_video", "read_sequence"]

FPS = 24.0
"""Frame rate of the DAVIS sequences."""


@dataclass(frozen=True)
class SequenceScores:
    """Scores of one tracking method on one sequence, without its first and last frame."""

    region: MeasureScores
    contour: MeasureScores
    share_answered: float
    """Share of the frames with a non-empty mask."""

    @property
    def region_and_contour(self) -> float:
        """J & F: the mean of the region and contour means."""
        return (self.region.mean + self.contour.mean) / 2


@dataclass(frozen=True)
class TrackingScores:
    """Scores of one tracking method over all sequences; each figure is the mean over sequences."""

    region_and_contour: float
    """J & F."""
    region: MeasureScores
    contour: MeasureScores
    share_answered: float
    sequences: dict[str, SequenceScores]


@dataclass(frozen=True)
class VideoScores:
    """Scores of one data set."""

    num_sequences: int
    num_frames: int
    """Number of segmented frames; the first and the last of each sequence are not scored."""
    by_prompt: dict[str, dict[str, TrackingScores]]
    """Scores by prompt ("box", "1 point") and name of the tracking method."""
    best: TrackingScores
    """Scores of `best_masks`."""


def evaluate_video(
    segment: SegmentFunction,
    folder: Path,
    *,
    methods: Mapping[str, TrackingMethod] = TRACKING_METHODS,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
) -> VideoScores:
    """Track the object of each sequence from a prompt derived from its first ground-truth mask.

    If the ground truth merges several objects into one (as in DAVIS 2016), the prompt covers all of them.

    Args:
        segment: the segmenter, with its usual thresholds.
        folder: a folder with one folder per sequence, each with `images/` and `masks/` and matching file names;
            non-zero pixels of a mask belong to the object.
        methods: tracking methods to compare, by name; `guided_tracking` is added as "guided".
        limit: maximum number of frames per sequence, taken from the start; at least 3. None for all.
        on_image: progress callback, counting frames.

    Raises:
        DataError: the folder is missing or contains no sequence, a sequence has fewer than 3 frames or an empty first
            mask, or a file is missing, unreadable or of a different size.
    """
    methods = {**methods, "guided": guided_tracking(segment)}
    sequences = {path: _frame_paths(path, limit) for path in _sequence_folders(folder)}
    num_frames, done = sum(map(len, sequences.values())), 0
    by_prompt: dict[str, dict[str, dict[str, SequenceScores]]] = {}
    best: dict[str, SequenceScores] = {}
    for path, paths in sequences.items():
        frames: list[SequenceFrame] = []
        truth: list[MaskArray] = []
        for image, mask in read_sequence(paths):
            frames.append(SequenceFrame(image, segment([image])[0].to("cpu"), len(frames) / FPS))
            truth.append(mask)
            done += 1
            on_image(done, num_frames)
        if not truth[0].any():
            raise DataError(
                f"the first mask of {path} is empty; it must contain the object, because the prompt is derived from it"
            )
        for kind, prompt in first_prompts(truth[0]).items():
            for name, track in methods.items():
                by_prompt.setdefault(kind, {}).setdefault(name, {})[path.name] = _score(track(prompt, frames), truth)
        best[path.name] = _score(best_masks([crop_of(mask) for mask in truth], frames), truth)
    return VideoScores(
        num_sequences=len(sequences),
        num_frames=num_frames,
        by_prompt={
            kind: {name: _mean(scores) for name, scores in by_name.items()} for kind, by_name in by_prompt.items()
        },
        best=_mean(best),
    )


def read_sequence(paths: Sequence[tuple[Path, Path]]) -> Iterator[tuple[ImageArray, MaskArray]]:
    """Yield each image (H, W, 3) RGB with its mask (H, W).

    Raises:
        DataError: a file is unreadable, or a mask and its image differ in size.
    """
    for image_path, mask_path in paths:
        try:
            image = load_image(image_path)
        except SourceError as error:
            raise DataError(str(error)) from error
        mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise DataError(f"{mask_path} is not a readable image")
        if mask.shape != image.shape[:2]:
            sizes = [f"{size[1]}x{size[0]}" for size in (mask.shape, image.shape)]
            raise DataError(f"{mask_path} is {sizes[0]}, its image is {sizes[1]}; both must have the same size")
        yield image, np.asarray(mask) > 0


def _sequence_folders(folder: Path) -> list[Path]:
    sequences = sorted(path.parent for path in folder.glob("*/masks") if path.is_dir())
    if not sequences:
        raise DataError(f"{folder} contains no sequence; a sequence is a folder with the folders images and masks")
    return sequences


def _frame_paths(sequence: Path, limit: int | None) -> list[tuple[Path, Path]]:
    try:
        images = find_image_files(str(sequence / "images"))[:limit]
    except SourceError as error:
        raise DataError(str(error)) from error
    if len(images) < 3:
        raise DataError(
            f"{sequence} has {len(images)} frames; 3 are required, as the first and the last are not scored"
        )
    paths = [(path, sequence / "masks" / f"{path.stem}.png") for path in images]
    for path, mask in paths:
        if not mask.is_file():
            raise DataError(f"{path} has no mask; expected {mask}")
    return paths


def _score(masks: Iterable[CropMask], truth: Sequence[MaskArray]) -> SequenceScores:
    # The prompt reveals the first frame, and DAVIS omits the last one as well.
    scored = [mask.full(true_mask.shape) for mask, true_mask in zip(masks, truth, strict=True)][1:-1]
    expected = truth[1:-1]
    return SequenceScores(
        region=summarise([region_similarity(mask, true) for mask, true in zip(scored, expected, strict=True)]),
        contour=summarise([contour_accuracy(mask, true) for mask, true in zip(scored, expected, strict=True)]),
        share_answered=float(np.mean([mask.any() for mask in scored])),
    )


def _mean(sequences: Mapping[str, SequenceScores]) -> TrackingScores:
    return TrackingScores(
        region_and_contour=float(np.mean([sequence.region_and_contour for sequence in sequences.values()])),
        region=_mean_measure([sequence.region for sequence in sequences.values()]),
        contour=_mean_measure([sequence.contour for sequence in sequences.values()]),
        share_answered=float(np.mean([sequence.share_answered for sequence in sequences.values()])),
        sequences=dict(sequences),
    )


def _mean_measure(measures: Sequence[MeasureScores]) -> MeasureScores:
    return replace(
        measures[0],
        mean=float(np.mean([one.mean for one in measures])),
        recall=float(np.mean([one.recall for one in measures])),
        decay=float(np.mean([one.decay for one in measures])),
    )
