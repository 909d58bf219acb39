"""FastSAM's selection by texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamseg.fastsam.reference_text import ReferenceTextSelector, best_objects
from streamseg.structures.instances import Instances
from tests.text.test_selector import scene, scripted, texts, tracked


@pytest.mark.parametrize(
    ("colours", "words", "rows"),
    [
        pytest.param(["red", "green", "blue"], ["green", "red"], [1, 0], id="each text has its best"),
        pytest.param(["red", "green"], ["red", "red"], [0, 0], id="two texts match one object"),
        pytest.param(["grey", "grey"], ["red"], [0], id="the best, however poor"),
        pytest.param(["red", "red"], ["red"], [0], id="one of two"),
        pytest.param(["grey", "red"], ["nonsense"], [0], id="nonsense"),
        pytest.param([], ["red"], [], id="no object"),
        pytest.param(["red"], [], [], id="no text"),
    ],
)
def test_best_object_of_each_text(colours, words, rows):
    frame, instances = scene(*colours)
    found = best_objects(scripted(), frame.image, instances, words)
    assert [row for row, _ in found] == rows
    assert all(0 < score <= 1 for _, score in found)
    select = ReferenceTextSelector(scripted)
    expected = [(row,) for row in rows] or [()] * len(words)
    assert [one.rows for one in select(frame, tracked(instances), texts(*words))] == expected


def test_objects_of_at_most_100_pixels_are_skipped():
    frame, instances = scene("red", "green")
    logits = instances.mask_logits.clone()
    logits[0] = -1.0
    empty = Instances(instances.boxes, instances.scores, logits, instances.grid_to_image, instances.image_size)
    assert [row for row, _ in best_objects(scripted(), frame.image, empty, ["red"])] == [1]


def test_object_is_embedded_on_black():
    frame, instances = scene("red")
    encoders = scripted()
    embedded = []
    encoders.embed_images = lambda crops: embedded.append(crops) or np.ones((len(crops), 4), np.float32)
    instances = Instances(
        instances.boxes + torch.tensor([[-20.0, 0, 20, 0]]),
        instances.scores,
        instances.mask_logits,
        instances.grid_to_image,
        instances.image_size,
    )
    best_objects(encoders, frame.image, instances, ["red"])
    assert {tuple(pixel) for pixel in embedded[0][0, :, [0, 1, -1]].reshape(-1, 3)} == {(0, 0, 0)}
