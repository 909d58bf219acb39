"""Scores with the attributes that scripts read: `metrics.seg.map50`, `metrics.results_dict` and others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streamseg.evaluation.proposals import MatchScores, ProposalScores
from streamseg.fastsam.results import NAMES
from streamseg.structures.arrays import Float64Array, IndexArray

__all__ = ["Metric", "SegmentMetrics"]


@dataclass(frozen=True)
class Metric:
    """Scores of boxes or masks, each 0..1; nan if the data set has no object."""

    map: float
    """AP over IoU 0.50:0.95."""
    map50: float
    map75: float
    mp: float
    """Precision at IoU 0.5, at the score threshold with the best F1."""
    mr: float
    """Recall at the same threshold."""

    @classmethod
    def of(cls, scores: MatchScores) -> Metric:
        """Return the scores of our evaluation under the names of the originals."""
        best = scores.best_f1
        return cls(scores.precision, scores.precision_50, scores.precision_75, best.precision, best.recall)

    @property
    def f1(self) -> Float64Array:
        """F1 per class, (1,)."""
        total = self.mp + self.mr
        return np.array([2 * self.mp * self.mr / total if total > 0 else total])

    @property
    def p(self) -> Float64Array:
        """Precision per class, (1,)."""
        return np.array([self.mp])

    @property
    def r(self) -> Float64Array:
        """Recall per class, (1,)."""
        return np.array([self.mr])

    @property
    def ap(self) -> Float64Array:
        """AP over IoU 0.50:0.95 per class, (1,)."""
        return np.array([self.map])

    @property
    def ap50(self) -> Float64Array:
        """AP at IoU 0.5 per class, (1,)."""
        return np.array([self.map50])

    @property
    def maps(self) -> Float64Array:
        """The same as `ap`."""
        return self.ap

    @property
    def ap_class_index(self) -> IndexArray:
        """Class of each row, (1,)."""
        return np.zeros(1, np.int64)

    def mean_results(self) -> list[float]:
        """Return precision, recall, AP at IoU 0.5 and AP."""
        return [self.mp, self.mr, self.map50, self.map]

    def class_result(self, row: int) -> tuple[float, float, float, float]:
        """Return `mean_results` of one class, of which there is one."""
        return self.mp, self.mr, float(self.ap50[row]), float(self.ap[row])

    def fitness(self) -> float:
        """Return a tenth of AP at IoU 0.5 plus nine tenths of AP."""
        return 0.1 * self.map50 + 0.9 * self.map


@dataclass(frozen=True)
class SegmentMetrics:
    """Scores of boxes and masks on one data set."""

    box: Metric
    seg: Metric
    scores: ProposalScores
    """All scores of the evaluation."""
    speed: Mapping[str, float]
    """Median time per image in milliseconds: `preprocess`, `inference`, `postprocess`."""

    @property
    def names(self) -> dict[int, str]:
        """Class names by number."""
        return dict(NAMES)

    @property
    def keys(self) -> list[str]:
        """Names of `mean_results`."""
        scores = ("precision", "recall", "mAP50", "mAP50-95")
        return [f"metrics/{score}({kind})" for kind in "BM" for score in scores]

    @property
    def results_dict(self) -> dict[str, float]:
        """Scores by name, and `fitness`."""
        return {**dict(zip(self.keys, self.mean_results(), strict=True)), "fitness": self.fitness}

    @property
    def fitness(self) -> float:
        """Sum of the fitness of boxes and masks."""
        return self.box.fitness() + self.seg.fitness()

    @property
    def maps(self) -> Float64Array:
        """Sum of AP of boxes and masks per class, (1,)."""
        return self.box.maps + self.seg.maps

    @property
    def ap_class_index(self) -> IndexArray:
        """Class of each row, (1,)."""
        return self.box.ap_class_index

    def mean_results(self) -> list[float]:
        """Return the mean results of boxes, then of masks."""
        return self.box.mean_results() + self.seg.mean_results()

    def class_result(self, row: int) -> tuple[float, ...]:
        """Return the results of one class: boxes, then masks."""
        return self.box.class_result(row) + self.seg.class_result(row)

    def summary(self) -> list[dict[str, float | str]]:
        """Return one dict per class with the number of images and objects and the scores."""
        counts = {"Images": self.scores.num_images, "Instances": self.scores.num_objects}
        return [{"Class": NAMES[0], **counts, **dict(zip(self.keys, self.mean_results(), strict=True))}]
