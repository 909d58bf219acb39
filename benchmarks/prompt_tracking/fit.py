"""Fit the weights of `prompting.reid`: the evidence that two rows some time apart are the same object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from benchmarks.prompt_tracking.scenes import Step
from streamseg.prompting.appearance import Appearance
from streamseg.prompting.history import FrameRecord, record_frame
from streamseg.prompting.reid import FEATURES, features
from streamseg.structures.instances import Tracked

__all__ = ["FIT_SEEDS", "fit", "regression"]

FIT_SEEDS = (100, 101, 102)
RIDGE = 1e-5
"""Weak regularisation, for weights that the pairs do not determine."""


def fit(sources: Iterable[Iterable[Sequence[Step]]]) -> dict[str, object]:
    """Fit a logistic regression of whether two rows, 0.3 to 8 s apart, are the same object.

    Args:
        sources: sources of sequences; all sources have equal weight regardless of their number of pairs.
    """
    pairs = [_pairs(sequences) for sequences in sources]
    matrix = np.concatenate([values for values, _ in pairs])
    same = np.concatenate([wanted for _, wanted in pairs])
    counts = np.concatenate([np.full(len(wanted), 1 / len(wanted)) for _, wanted in pairs]) / len(pairs)
    fitted: dict[str, object] = {"num_pairs": len(same), "num_same": int(same.sum())}
    for name, columns in (("weights", range(6)), ("weights_without_looks", range(4))):
        weights = regression(matrix[:, list(columns)], same, counts)
        fitted[name] = dict(zip(FEATURES, np.round(weights, 2).tolist(), strict=False))
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
