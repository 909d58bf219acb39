"""The scene protocol with segmenters that know the truth, wholly or in part."""

import numpy as np
import torch

from streamseg.evaluation.scene import FPS, NUM_OBJECTS, SEEDS, SIZE, evaluate_scene
from streamseg.structures.instances import GridTransform, Instances
from streamseg.synthetic import SceneRenderer
from streamseg.training.scenes import FIRST_SEED

CELL = 4


class Knowing:
    """Finds what is true in the frames of a scene, one after the other, on a grid of 4 pixels a cell."""

    def __init__(self, seed, *, parts=False, missing=(), score=0.9, ghosts=0):
        self._renderer = SceneRenderer(SIZE[1], SIZE[0], num_objects=NUM_OBJECTS, seed=seed, fps=FPS)
        self._index, self._missing, self._parts, self._score, self._ghosts = 0, missing, parts, score, ghosts

    def __call__(self, images):
        truth = self._renderer.truth(self._index)
        assert (images[0] == self._renderer.render(self._index)).all()
        rows = [row for row in range(len(truth.masks)) if self._parts or not truth.is_part[row]]
        rows = [] if self._index in self._missing else rows
        self._index += 1
        boxes = [truth.boxes[row].tolist() for row in rows]
        logits = [self._logits(truth.masks[row].full(SIZE)) for row in rows]
        for ghost in range(self._ghosts):
            boxes.append([40.0 * ghost, 0, 40.0 * ghost + 36, 36])
            logits.append(np.full((SIZE[0] // CELL, SIZE[1] // CELL), 4, np.float32))
        scores = [self._score] * len(rows) + [0.95] * self._ghosts
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


def test_what_is_known_is_found_and_followed():
    seen = []
    scores = evaluate(Knowing(0), on_image=lambda *one: seen.append(one))
    assert (scores.num_scenes, scores.num_frames, seen[-1]) == (1, 6, (6, 6))
    assert scores.num_objects > 30
    assert scores.average_precision_50 > 0.95
    assert scores.num_switches == 0
    # The first two frames of a track have no identity yet.
    assert 0.6 < scores.idf1 < 0.95
    assert scores.localisation_accuracy > 0.8
    assert len(scores.hota_at) == 19


def test_parts_are_neither_right_nor_wrong():
    assert evaluate(Knowing(0, parts=True), limit=1).average_precision_50 > 0.9


def test_what_is_nothing_is_wrong():
    alone, haunted = (evaluate(Knowing(0, ghosts=ghosts), limit=1) for ghosts in (0, 10))
    assert haunted.average_precision_50 < 0.8 * alone.average_precision_50


def test_what_is_followed_is_found_as_in_a_live_run():
    scores = evaluate(Knowing(0, score=0.1), live_segment=Knowing(0, missing=range(10)), limit=4)
    assert scores.average_precision_50 > 0.95
    assert scores.idf1 == scores.hota == 0
    scores = evaluate(Knowing(0, missing=range(10)), live_segment=Knowing(0), limit=4)
    assert scores.average_precision_50 == 0
    assert scores.idf1 == evaluate(Knowing(0), limit=4).idf1 > 0.3


def test_nothing_found():
    scores = evaluate(Knowing(0, missing=range(10)), limit=3)
    assert scores.average_precision_50 == scores.recall_100 == scores.idf1 == scores.hota == 0


def test_identities_of_two_scenes_differ():
    """The tracker of each scene counts from one: taken for the same, they would lower every figure."""
    first, second = Knowing(0), Knowing(1)
    calls = []

    def segment(images):
        calls.append(None)
        return (first if len(calls) <= 4 else second)(images)

    both = evaluate_scene(segment, seeds=[0, 1], limit=4)
    apart = [evaluate_scene(Knowing(seed), seeds=[seed], limit=4) for seed in (0, 1)]
    low, high = sorted(one.association_accuracy for one in apart)
    assert low - 1e-9 <= both.association_accuracy <= high + 1e-9
    assert both.num_objects == sum(one.num_objects for one in apart)


def test_the_scenes_were_never_trained_on():
    assert max(SEEDS) < FIRST_SEED
