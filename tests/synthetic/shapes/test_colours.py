import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamseg.synthetic.shapes.colours import paint_colour, pick, scaled


@given(seed=st.integers(0, 2**32))
def test_paint_colour_is_neither_grey_nor_black_nor_white(seed: int):
    colour = paint_colour(np.random.default_rng(seed))
    assert 110 <= max(colour) <= 235
    assert 0.15 * 110 - 1e-9 <= min(colour) < max(colour), "never grey"


def test_all_channels_are_scaled():
    assert scaled((10.0, 20.0, 30.0), 0.5) == (5.0, 10.0, 15.0)


def test_every_choice_is_picked():
    choices = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    rng = np.random.default_rng(0)
    assert {pick(choices, rng) for _ in range(60)} == set(choices)
