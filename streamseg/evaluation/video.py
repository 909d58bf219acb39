"""One object followed through sequences, from a prompt in the first frame: J & F of DAVIS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.capture.images import find_image_files, load_image
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
from streamseg.evaluation.truth import OnImage, SegmentFunction
from streamseg.pipeline.guidance import GuidedSegmenter
from streamseg.structures.message import CropMask

__all__ = ["SequenceScores", "TrackingScores", "VideoScores", "evaluate_video", "read_sequence"]

FPS = 24.0
"""Frames per second of DAVIS' sequences."""


@dataclass(frozen=True)
class SequenceScores:
    """How well one follower kept to the object of one sequence, without its first and last frame."""

    region: MeasureScores
    contour: MeasureScores
    share_answered: float
    """Frames with a mask at all."""

    @property
    def region_and_contour(self) -> float:
        """J & F, the mean of both means."""
        return (self.region.mean + self.contour.mean) / 2


@dataclass(frozen=True)
class TrackingScores:
    """One way to follow, over all sequences; each figure is the mean over sequences."""

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
    """That were segmented; the first and the last of each sequence are not scored."""
    by_prompt: dict[str, dict[str, TrackingScores]]
    """By prompt ("box", "1 point") and name of the follower."""
    best: TrackingScores
    """`best_masks`."""


def evaluate_video(
    segment: SegmentFunction,
    folder: Path,
    *,
    followers: Mapping[str, TrackingMethod] = TRACKING_METHODS,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
) -> VideoScores:
    """Follow the object of each sequence from a prompt made of its first true mask.

    Where the truth merges several objects into one (DAVIS 2016 does), the prompt is for all of them.

    Args:
        segment: images to Instances, as a user would have them.
        folder: a folder for each sequence, with `images/` and `masks/`, files of the same names; a pixel of a mask
            that is not 0 belongs to the object.
        followers: by name; what is compared. Where `segment` can be guided, `guided_tracking` is as well ("guided").
        limit: the most frames of each sequence, the first ones; at least 3. None for all.
        on_image: called with how many frames are done, and of how many.

    Raises:
        DataError: the folder is missing or holds no sequence, a sequence has fewer than 3 frames or an empty first
            mask, or a file is missing, unreadable or of another size.
    """
    if isinstance(segment, GuidedSegmenter):
        followers = {**followers, "guided": guided_tracking(segment)}
    sequences = {path: _frame_paths(path, limit) for path in _sequence_folders(folder)}
    num_frames, done = sum(map(len, sequences.values())), 0
    by_prompt: dict[str, dict[str, dict[str, SequenceScores]]] = {}
    best: dict[str, SequenceScores] = {}
    for path, paths in sequences.items():
        frames: list[SequenceFrame] = []
        truth: list[npt.NDArray[np.bool_]] = []
        for image, mask in read_sequence(paths):
            frames.append(SequenceFrame(image, segment([image])[0].to("cpu"), len(frames) / FPS))
            truth.append(mask)
            done += 1
            on_image(done, num_frames)
        if not truth[0].any():
            raise DataError(f"the first mask of {path} is empty; a prompt is made of it")
        for kind, prompt in first_prompts(truth[0]).items():
            for name, follow in followers.items():
                by_prompt.setdefault(kind, {}).setdefault(name, {})[path.name] = _score(follow(prompt, frames), truth)
        best[path.name] = _score(best_masks([crop_of(mask) for mask in truth], frames), truth)
    return VideoScores(
        num_sequences=len(sequences),
        num_frames=num_frames,
        by_prompt={
            kind: {name: _mean(scores) for name, scores in by_name.items()} for kind, by_name in by_prompt.items()
        },
        best=_mean(best),
    )


def read_sequence(paths: Sequence[tuple[Path, Path]]) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]]:
    """Each image (H, W, 3) RGB with its mask (H, W).

    Raises:
        DataError: a file is unreadable, or a mask of another size than its image.
    """
    for image_path, mask_path in paths:
        try:
            image = load_image(image_path)
        except SourceError as error:
            raise DataError(str(error)) from error
        mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise DataError(f"{mask_path} is not an image that can be read")
        if mask.shape != image.shape[:2]:
            sizes = [f"{size[1]}x{size[0]}" for size in (mask.shape, image.shape)]
            raise DataError(f"{mask_path} is {sizes[0]}, its image is {sizes[1]}; they must agree")
        yield image, np.asarray(mask) > 0


def _sequence_folders(folder: Path) -> list[Path]:
    sequences = sorted(path.parent for path in folder.glob("*/masks") if path.is_dir())
    if not sequences:
        raise DataError(f"{folder} holds no sequence: a folder with the folders images and masks")
    return sequences


def _frame_paths(sequence: Path, limit: int | None) -> list[tuple[Path, Path]]:
    try:
        images = find_image_files(str(sequence / "images"))[:limit]
    except SourceError as error:
        raise DataError(str(error)) from error
    if len(images) < 3:
        raise DataError(f"{sequence} has {len(images)} frames; the first and the last are not scored, it needs 3")
    paths = [(path, sequence / "masks" / f"{path.stem}.png") for path in images]
    for path, mask in paths:
        if not mask.is_file():
            raise DataError(f"{path} has no mask {mask}")
    return paths


def _score(masks: Iterable[CropMask], truth: Sequence[npt.NDArray[np.bool_]]) -> SequenceScores:
    # The first frame is given away by the prompt, and DAVIS leaves the last one out as well.
    given = [mask.full(true_mask.shape) for mask, true_mask in zip(masks, truth, strict=True)][1:-1]
    wanted = truth[1:-1]
    return SequenceScores(
        region=summarise([region_similarity(mask, true) for mask, true in zip(given, wanted, strict=True)]),
        contour=summarise([contour_accuracy(mask, true) for mask, true in zip(given, wanted, strict=True)]),
        share_answered=float(np.mean([mask.any() for mask in given])),
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
