import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.segmentation.resampling import along_columns, along_rows, taps


def taps_of(*axes):
    """Of (length, start, step, cells) each."""
    lengths, starts, steps, cells = zip(*axes, strict=True)
    return taps(np.array(lengths), np.array(starts, float), np.array(steps, float), np.array(cells))


axes = st.tuples(st.integers(1, 400), st.floats(-5, 60), st.floats(0, 3), st.integers(1, 50))


@given(st.lists(axes, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_equals_linear_interpolation(given_axes, seed):
    rng = np.random.default_rng(seed)
    for (length, start, step, cells), of in zip(given_axes, taps_of(*given_axes), strict=True):
        values = rng.standard_normal((cells, 3), dtype=np.float32)
        places = start + step * np.arange(length)
        wanted = np.stack([np.interp(places, np.arange(cells), column) for column in values.T], axis=1)
        np.testing.assert_allclose(along_rows(of, values), wanted, rtol=0, atol=1e-5)
        np.testing.assert_allclose(along_columns(values.T.copy(), of), wanted.T, rtol=0, atol=1e-5)
        assert of.weights.shape == (length, cells)
        np.testing.assert_allclose(of.weights.sum(axis=1), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_outputs", [64, 65, 1000, 4000], ids=["a band", "one more", "many", "very many"])
def test_many_outputs_part_by_part_are_the_same(num_outputs):
    rng = np.random.default_rng(0)
    (of,) = taps_of((num_outputs, -3.0, 120 / num_outputs, 112))
    values = rng.standard_normal((112, 900), dtype=np.float32)
    assert of.weights.size * 900 > 2**19  # more than in one product
    wanted = np.einsum("nk,km->nm", of.weights, values)
    np.testing.assert_allclose(along_rows(of, values), wanted, rtol=0, atol=1e-5)
    np.testing.assert_allclose(along_columns(values.T.copy(), of), wanted.T, rtol=0, atol=1e-5)


def test_no_axes():
    none = np.zeros(0, dtype=np.intp)
    assert taps(none, none.astype(float), none.astype(float), none) == []
