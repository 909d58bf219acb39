"""Brush masks: read back by a decoder written from the format's description, and by Label Studio's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamseg.label_studio.brush import encode_brush

masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40)))


def decode(values: list[int]) -> np.ndarray:
    """Return the bytes of an encoded image."""
    bits = "".join(f"{value:08b}" for value in values)
    position = 0

    def take(count: int) -> int:
        nonlocal position
        position += count
        return int(bits[position - count : position], 2)

    num_bytes, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    found: list[int] = []
    while len(found) < num_bytes:
        is_run = take(1)
        length = take(sizes[take(2)]) + 1
        found += [take(word)] * length if is_run else [take(word) for _ in range(length)]
    assert len(found) == num_bytes
    assert len(bits) - position < 8
    return np.array(found, np.uint8)


@given(masks)
@settings(max_examples=60, deadline=None)
def test_decoding_gives_the_mask(mask):
    assert np.array_equal(decode(encode_brush(mask)).reshape(*mask.shape, 4), mask[..., None] * np.full(4, 255))


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.zeros((1, 1), np.bool_), id="one pixel"),
        pytest.param(np.ones((300, 300), np.bool_), id="a run longer than the longest length"),
        pytest.param(np.arange(128 * 128).reshape(128, 128) % 2 == 0, id="runs of one pixel"),
        pytest.param(np.ones((128, 128), np.bool_), id="exactly the longest length"),
    ],
)
def test_edges(mask):
    assert np.array_equal(decode(encode_brush(mask)).reshape(*mask.shape, 4)[..., 3] > 0, mask)


def test_a_mask_without_pixels_is_an_error():
    with pytest.raises(ValueError, match="at least one pixel"):
        encode_brush(np.zeros((0, 5), np.bool_))


@given(masks)
@settings(max_examples=20, deadline=None)
def test_label_studio_reads_the_same(mask):
    brush = pytest.importorskip("label_studio_converter.brush", reason="needs the package label-studio-converter")
    decoded = np.asarray(brush.decode_rle(encode_brush(mask))).reshape(*mask.shape, 4)
    assert np.array_equal(decoded[..., 3] > 0, mask)
    theirs = brush.encode_rle(np.repeat(mask.ravel().astype(np.uint8) * 255, 4))
    assert np.array_equal(decode(theirs).reshape(*mask.shape, 4)[..., 3] > 0, mask)
