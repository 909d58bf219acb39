"""Each shape of the rendered scene."""

import numpy as np
import pytest

from streamseg.synthetic.shapes.registry import SHAPES, draw_shape


def test_holes_are_not_part_of_the_mask():
    sprite = draw_shape(SHAPES["ring"], 100, np.random.default_rng(0))
    height, width = sprite.coverage.shape
    assert sprite.coverage[height // 2, width // 2] == 0
    assert sprite.coverage[height // 2, width // 2 + 30] == 255


def test_shadow_darkens_but_is_not_covered():
    sprite = draw_shape(SHAPES["person"], 120, np.random.default_rng(0))
    shadow_only = (sprite.rgba[..., 3] > 0) & (sprite.coverage == 0)
    assert shadow_only.any()
    assert sprite.rgba[..., 3][shadow_only].max() < 128
    assert not sprite.rgba[..., :3][shadow_only].any()


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_shape(name):
    sprite = draw_shape(SHAPES[name], 64, np.random.default_rng(1))
    assert sprite.coverage.mean() > 255 * 0.08, "the object is visible"
    border = np.concatenate([sprite.rgba[[0, -1]].reshape(-1, 4), sprite.rgba[:, [0, -1]].reshape(-1, 4)])
    assert not border.any(), "warping would smear pixels at the border"
    assert (sprite.rgba[..., :3] <= sprite.rgba[..., 3:].astype(int) + 1).all(), "colours are premultiplied with alpha"
    covered_by_parts = np.zeros(sprite.coverage.shape, int)
    for part in sprite.parts:
        assert part.any()
        covered_by_parts += part
    assert (covered_by_parts <= sprite.coverage.astype(int) + 2).all(), "parts are disjoint and inside"


def test_some_shapes_have_parts_and_some_have_none():
    with_parts = [name for name, shape in SHAPES.items() if draw_shape(shape, 48, np.random.default_rng(0)).parts]
    assert {"person", "car", "mug"} <= set(with_parts)
    assert {"ball", "gear", "leaf"}.isdisjoint(with_parts)
