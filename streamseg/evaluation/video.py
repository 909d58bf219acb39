"""Video object segmentation: one object tracked from a prompt in the first frame, scored by J & F of DAVIS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from streamseg.datasets.check import none_usable
from streamseg.datasets.problems import Problems
from streamseg.evaluation.claims import Answer, ClaimScores, score_claims
from streamseg.evaluation.davis import MeasureScores, contour_accuracy, region_similarity, summarise
from streamseg.evaluation.prompt_tracking import (
    TRACKING_METHODS,
    SequenceFrame,
    TrackingMethod,
    best_masks,
    crop_of,
    first_prompts,
    guided_answers,
)
from streamseg.evaluation.sequences import is_scorable, read_or_skip, usable_sequences
from streamseg.evaluation.truth import OnImage
from streamseg.pipeline.segment_function import SegmentFunction
from streamseg.structures.arrays import MaskArray
from streamseg.structures.mask import CropMask

__all__ = ["SequenceScores", "TrackingScores", "VideoScores", "evaluate_video"]

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
    """Number of frames of these sequences; the first and the last of each sequence are not scored."""
    by_prompt: dict[str, dict[str, TrackingScores]]
    """Scores by prompt ("box", "1 point") and name of the tracking method."""
    best: TrackingScores
    """Scores of `best_masks`."""
    claims: dict[str, ClaimScores] = field(default_factory=dict)
    """Reliability of the prompts' `confidence` and `mask_quality` in the frames scored for "guided"."""


def evaluate_video(
    segment: SegmentFunction,
    folder: Path,
    *,
    methods: Mapping[str, TrackingMethod] = TRACKING_METHODS,
    limit: int | None = None,
    on_image: OnImage = lambda done, total: None,
    problems: Problems | None = None,
) -> VideoScores:
    """Track the object of each sequence from a prompt derived from its first ground-truth mask.

    If the ground truth merges several objects into one (as in DAVIS 2016), the prompt covers all of them.

    Args:
        segment: the segmenter, with its usual thresholds.
        folder: a folder with one folder per sequence, each with `images/` and `masks/` and matching file names;
            non-zero pixels of a mask belong to the object.
        methods: tracking methods to compare, by name; a live run is added as "guided".
        limit: maximum number of frames per sequence, taken from the start; at least 3. None for all.
        on_image: progress callback, counting frames.
        problems: collects what is skipped: frames whose files are missing, unreadable or of different sizes (the times
            of the others do not change), and sequences of less than 3 usable frames or with an empty first mask. None
            refuses a folder with any.

    Raises:
        DataError: the folder is missing or contains no usable sequence; or something would be skipped and `problems` is
            None.
    """
    found = Problems() if problems is None else problems
    sequences = usable_sequences(folder, found, limit=limit)
    if problems is None:
        found.refuse()
    num_frames, num_scored, done = sum(map(len, sequences.values())), 0, 0
    by_prompt: dict[str, dict[str, dict[str, SequenceScores]]] = {}
    best: dict[str, SequenceScores] = {}
    answers: list[Answer] = []
    for path, paths in sequences.items():
        frames: list[SequenceFrame] = []
        truth: list[MaskArray] = []
        for one in paths:
            read = read_or_skip(one, problems)
            if read is not None:
                image, mask = read
                frames.append(SequenceFrame(image, segment([image])[0].to("cpu"), one.index / FPS))
                truth.append(mask)
            done += 1
            on_image(done, num_frames)
        if not is_scorable(path, truth, problems):
            continue
        num_scored += len(frames)
        for kind, prompt in first_prompts(truth[0]).items():
            for name, track in methods.items():
                by_prompt.setdefault(kind, {}).setdefault(name, {})[path.name] = _score(track(prompt, frames), truth)
            guided = list(guided_answers(segment, prompt, frames))
            scores = _score([mask for mask, _ in guided], truth)
            by_prompt.setdefault(kind, {}).setdefault("guided", {})[path.name] = scores
            answers += [
                Answer(status, region_similarity(mask.full(true.shape), true))
                for (mask, status), true in list(zip(guided, truth, strict=True))[1:-1]
                if mask.crop.size
            ]
        best[path.name] = _score(best_masks([crop_of(mask) for mask in truth], frames), truth)
    if not best:
        raise none_usable(folder, found)
    return VideoScores(
        num_sequences=len(best),
        num_frames=num_scored,
        by_prompt={
            kind: {name: _mean(scores) for name, scores in by_name.items()} for kind, by_name in by_prompt.items()
        },
        best=_mean(best),
        claims=score_claims(answers),
    )


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
