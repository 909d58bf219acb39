"""Appearance embeddings that distinguish objects."""

import cv2
import numpy as np
import pytest
import torch

from streamseg.segmentation.embedding import embed
from streamseg.structures.instances import Instances
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

SHAPES = [Shape(60, 80, 60, 60), Shape(160, 80, 60, 60), Shape(260, 80, 60, 60), Shape(60, 180, 60, 60)]
RED, GREEN, BLUE = (200, 40, 40), (40, 180, 60), (50, 60, 210)


def vectors_of(colours, *, prototypes=None, shapes=SHAPES, background=(120, 120, 120), light=1.0):
    instances = detect_shapes(shapes)
    image = np.full((*IMAGE_SIZE, 3), background, np.uint8)
    y, x = np.mgrid[: IMAGE_SIZE[0], : IMAGE_SIZE[1]] + 0.5
    for shape, colour in zip(shapes, colours, strict=True):
        image[shape.covers(x, y)] = np.clip(np.array(colour) * light, 0, 255).astype(np.uint8)
    grid = instances.mask_logits.shape[1:]
    given = torch.zeros((8, *grid)) if prototypes is None else prototypes
    return embed(instances, given, image).numpy()


def test_same_colours_are_similar_and_others_are_not():
    vectors = vectors_of([RED, GREEN, BLUE, RED])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1] * 4, abs=1e-5)
    cosines = vectors @ vectors.T
    assert cosines[0, 3] > 0.95
    assert max(cosines[0, 1], cosines[0, 2], cosines[1, 2]) < 0.5


def test_embedding_tolerates_position_size_and_background():
    first = vectors_of([RED, GREEN, BLUE, RED])
    moved = [Shape(220, 190, 90, 70), *SHAPES[1:3], SHAPES[3]]
    later = vectors_of([RED, GREEN, BLUE, BLUE], shapes=moved, background=(60, 90, 60), light=0.93)
    assert first[0] @ later[0] > 0.85
    assert first[0] @ later[0] > max(first[0] @ later[row] for row in (1, 2, 3)) + 0.3


def test_prototypes_distinguish_objects_of_the_same_colour():
    prototypes = torch.zeros((2, *detect_shapes(SHAPES).mask_logits.shape[1:]))
    prototypes[0, :, :30] = 1.0
    prototypes[1, :, 50:] = 1.0
    vectors = vectors_of([(90, 90, 90)] * 4, prototypes=prototypes)
    cosines = vectors @ vectors.T
    assert cosines[0, 3] > cosines[0, 2] + 0.05


def test_no_objects_and_the_smallest_object():
    grid = (8, 60, 80)
    image = np.zeros((*IMAGE_SIZE, 3), np.uint8)
    assert embed(Instances.empty(IMAGE_SIZE, grid[1:]), torch.zeros(grid), image).shape == (0, 108)
    tiny = detect_shapes([Shape(100.5, 100.5, 1, 1, "rectangle")])
    vectors = embed(tiny, torch.zeros(grid), image)
    assert vectors.shape == (1, 108)
    assert torch.isfinite(vectors).all()


@pytest.mark.slow
def test_embeddings_follow_the_order_of_rows():
    image = cv2.cvtColor(np.full((*IMAGE_SIZE, 3), 90, np.uint8), cv2.COLOR_BGR2RGB)
    image[:, :160] = RED
    instances = detect_shapes(SHAPES)
    prototypes = torch.rand((4, *instances.mask_logits.shape[1:]), generator=torch.Generator().manual_seed(0))
    there = embed(instances, prototypes, np.ascontiguousarray(image))
    back = embed(instances[[3, 2, 1, 0]], prototypes, np.ascontiguousarray(image))
    torch.testing.assert_close(there.flip(0), back)
