"""The scene protocol with segmenters that return all or part of the ground truth."""

import numpy as np
import pytest
import torch

from streamseg.evaluation.scene import FPS, NUM_OBJECTS, SEEDS, SIZE, evaluate_scene
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.synthetic import SceneRenderer
from streamseg.training.scenes import FIRST_SEED

pytestmark = pytest.mark.slow

CELL = 4


class TruthSegmenter:
    """Return the ground truth of successive frames of a scene, on a grid of 4 pixels per cell."""

    def __init__(self, seed, *, parts=False, missing=(), score=0.9, false_positives=0):
        self._renderer = SceneRenderer(SIZE[1], SIZE[0], num_objects=NUM_OBJECTS, seed=seed, fps=FPS)
        self._index, self._missing, self._parts, self._score, self._false_positives = (
            0,
            missing,
            parts,
            score,
            false_positives,
        )

    def __call__(self, images):
        truth = self._renderer.truth(self._index)
        assert (images[0] == self._renderer.render(self._index)).all()
        rows = [row for row in range(len(truth.masks)) if self._parts or not truth.is_part[row]]
        rows = [] if self._index in self._missing else rows
        self._index += 1
        boxes = [truth.boxes[row].tolist() for row in rows]
        logits = [self._logits(truth.masks[row].full(SIZE)) for row in rows]
        for ghost in range(self._false_positives):
            boxes.append([40.0 * ghost, 0, 40.0 * ghost + 36, 36])
            logits.append(np.full((SIZE[0] // CELL, SIZE[1] // CELL), 4, np.float32))
        scores = [self._score] * len(rows) + [0.95] * self._false_positives
        order = np.argsort([-score for score in scores], kind="stable")
        shape = (-1, SIZE[0] // CELL, SIZE[1] // CELL)
        return [
            Instances(
                torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)[order.tolist()],
                torch.tensor(scores, dtype=torch.float32)[order.tolist()],
                torch.tensor(np.array(logits, np.float32)).reshape(shape)[order.tolist()],
                GridTransform(CELL, CELL, 0, 0),
                SIZE,
            )
        ]

    @staticmethod
    def _logits(mask):
        return 8 * mask.reshape(SIZE[0] // CELL, CELL, SIZE[1] // CELL, CELL).mean(axis=(1, 3)) - 4


def evaluate(segment, limit=6, **options):
    return evaluate_scene(segment, seeds=[0], limit=limit, **options)


def test_ground_truth_is_detected_and_tracked():
    seen = []
    scores = evaluate(TruthSegmenter(0), on_image=lambda *one: seen.append(one))
    assert (scores.num_scenes, scores.num_frames, seen[-1]) == (1, 6, (6, 6))
    assert scores.num_objects > 30
    assert scores.average_precision_50 > 0.95
    assert scores.num_switches == 0
    # The first two frames of a track have no identity yet.
    assert 0.6 < scores.idf1 < 0.95
    assert scores.localisation_accuracy > 0.8
    assert len(scores.hota_at) == 19


def test_parts_are_neither_right_nor_wrong():
    assert evaluate(TruthSegmenter(0, parts=True), limit=1).average_precision_50 > 0.9


def test_false_positives_lower_precision():
    alone, haunted = (
        evaluate(TruthSegmenter(0, false_positives=false_positives), limit=1) for false_positives in (0, 10)
    )
    assert haunted.average_precision_50 < 0.8 * alone.average_precision_50


def test_tracks_come_from_the_live_segmenter():
    scores = evaluate(TruthSegmenter(0, score=0.1), live_segment=TruthSegmenter(0, missing=range(10)), limit=4)
    assert scores.average_precision_50 > 0.95
    assert scores.idf1 == scores.hota == 0
    scores = evaluate(TruthSegmenter(0, missing=range(10)), live_segment=TruthSegmenter(0), limit=4)
    assert scores.average_precision_50 == 0
    assert scores.idf1 == evaluate(TruthSegmenter(0), limit=4).idf1 > 0.3


def test_nothing_found():
    scores = evaluate(TruthSegmenter(0, missing=range(10)), limit=3)
    assert scores.average_precision_50 == scores.recall_100 == scores.idf1 == scores.hota == 0


def test_identities_of_two_scenes_differ():
    """Each scene's tracker counts from one; equal identities of different scenes would lower every score."""
    first, second = TruthSegmenter(0), TruthSegmenter(1)
    calls = []

    def segment(images):
        calls.append(None)
        return (first if len(calls) <= 4 else second)(images)

    both = evaluate_scene(segment, seeds=[0, 1], limit=4)
    apart = [evaluate_scene(TruthSegmenter(seed), seeds=[seed], limit=4) for seed in (0, 1)]
    low, high = sorted(one.association_accuracy for one in apart)
    assert low - 1e-9 <= both.association_accuracy <= high + 1e-9
    assert both.num_objects == sum(one.num_objects for one in apart)


def test_scenes_are_not_used_for_training():
    assert max(SEEDS) < FIRST_SEED
