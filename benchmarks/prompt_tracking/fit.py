"""Fit the weights of `prompting.reid`: the evidence that two rows some time apart are the same object.

`weights`, `weights_without_looks`  any two rows 0.3 to 8 s apart
`weights_beside_looks`              objects that are absent, and rows until shortly after their return
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.prompt_tracking.scenes import Step
from streamseg.prompting.appearance import Appearance, EmbeddingGallery
from streamseg.prompting.history import FrameRecord, record_frame
from streamseg.prompting.reid import FEATURES, features
from streamseg.structures.instances import Tracked

__all__ = ["FIT_SEEDS", "fit", "regression"]

FIT_SEEDS = (100, 101, 102)
RIDGE = 1e-5
"""Weak regularisation, for weights that the pairs do not determine."""
COLUMNS = {"weights": range(6), "weights_without_looks": range(4)}
MIN_ABSENT_FRAMES = 2
NUM_RETURNED_FRAMES = 7
"""Number of frames with a returned object that count as its absence: it is to be found in one of them."""
MIN_KNOWN_FRAMES = 5
"""Number of frames with an object before the first absence that counts."""
NUM_RECENT_FRAMES = 30
"""Number of frames of the appearance of an object."""


def fit(sources: Iterable[Iterable[Sequence[Step]]]) -> dict[str, object]:
    """Fit logistic regressions of whether two rows are the same object.

    Args:
        sources: sources of sequences; all sources have equal weight regardless of their number of pairs. The weights
            beside looks are fitted to the first one alone.
    """
    kept = [[list(steps) for steps in sequences] for sequences in sources]
    pairs = [_pairs(sequences) for sequences in kept]
    matrix = np.concatenate([values for values, _ in pairs])
    same = np.concatenate([wanted for _, wanted in pairs])
    counts = np.concatenate([np.full(len(wanted), 1 / len(wanted)) for _, wanted in pairs]) / len(pairs)
    fitted: dict[str, object] = {"num_pairs": len(same), "num_same": int(same.sum())}
    for name, columns in COLUMNS.items():
        weights = regression(matrix[:, list(columns)], same, counts)
        fitted[name] = dict(zip(FEATURES, np.round(weights, 2).tolist(), strict=False))
    absent = [pair for steps in kept[0] for pair in _absent_pairs(steps)]
    if absent:
        rows, wanted = (np.concatenate(one) for one in zip(*absent, strict=True))
        weights = regression(rows, wanted, np.full(len(wanted), 1 / len(wanted)))
        fitted["weights_beside_looks"] = dict(zip(FEATURES, np.round(weights, 2).tolist(), strict=True))
    return fitted


def _pairs(sequences: Iterable[Sequence[Step]]) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, 6) of objects and rows of a later frame, and whether they are the same, bool (N,)."""
    values, same = [], []
    for steps in sequences:
        history = [_by_truth(step, index) for index, step in enumerate(steps)]
        for index in range(3, len(history), 4):
            for identity in history[index].rows:
                recent = history[max(0, index - 30) : index + 1]
                appearance = Appearance.of([(one, one.rows[identity]) for one in recent if identity in one.rows])
                for later in (history[index + gap] for gap in (3, 5, 10, 20, 40, 80) if index + gap < len(history)):
                    if later.track_ids:
                        values.append(features([appearance], later, range(len(later.track_ids)))[0])
                        same.append(np.array(later.track_ids) == identity)
    return np.concatenate(values), np.concatenate(same)


def _absent_pairs(steps: Sequence[Step]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield features (N, F) of an absent object and the objects of a frame, and which ones are the same, bool (N,)."""
    history = [_by_truth(step, index) for index, step in enumerate(steps)]
    for identity in sorted({one for record in history for one in record.rows}):
        visible = [index for index, record in enumerate(history) if identity in record.rows]
        gallery, position = EmbeddingGallery(), 0
        while position < len(visible):
            last = visible[position]
            gallery.reject(history[last], [identity])
            position += 1
            following = visible[position] if position < len(visible) else len(history)
            if position < MIN_KNOWN_FRAMES or following - last <= MIN_ABSENT_FRAMES:
                continue
            recent = history[max(0, last - NUM_RECENT_FRAMES) : last + 1]
            appearance = Appearance.of([(one, one.rows[identity]) for one in recent if identity in one.rows])
            views = gallery.views
            appearance = replace(appearance, gallery=np.stack(views) if views else None)
            returned = visible[position : position + NUM_RETURNED_FRAMES]
            end = returned[-1] + 1 if returned else len(history)
            for later in history[last + 1 + MIN_ABSENT_FRAMES : end]:
                ids = np.array(later.track_ids)
                known = np.flatnonzero(ids >= 0)
                if len(known):
                    yield features([appearance], later, known.tolist())[0], ids[known] == identity
            position += len(returned)


def regression(matrix: np.ndarray, wanted: np.ndarray, counts: np.ndarray, *, ridge: float = RIDGE) -> np.ndarray:
    """Fit a logistic regression by Newton's method.

    Args:
        matrix: features (N, F).
        wanted: outcomes (N,), 0..1.
        counts: row weights (N,) that sum to 1.
        ridge: regularisation.

    Returns:
        Weights (F,).
    """
    weights = np.zeros(matrix.shape[1])
    for _ in range(60):
        odds = 1 / (1 + np.exp(-np.clip(matrix @ weights, -30, 30)))
        curvature = (matrix * (counts * odds * (1 - odds))[:, None]).T @ matrix + ridge * np.eye(len(weights))
        weights -= np.linalg.solve(curvature, matrix.T @ (counts * (odds - wanted)) + ridge * weights)
    return weights


def _by_truth(step: Step, index: int) -> FrameRecord:
    """Use the object as identity of its first row; other rows have no identity."""
    ids = step.truth.copy()
    for identity in np.unique(ids[ids >= 0]):
        ids[np.flatnonzero(ids == identity)[1:]] = -1
    return record_frame(Tracked(step.instances, torch.from_numpy(ids.astype(np.int64))), index, step.time_seconds)
