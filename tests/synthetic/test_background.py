import numpy as np
import pytest

from streamseg.synthetic.background import BACKGROUNDS, paint_background


@pytest.mark.parametrize("kind", sorted(BACKGROUNDS))
@pytest.mark.parametrize(
    "size", [pytest.param((97, 131), id="odd"), pytest.param((64, 16), id="narrow"), pytest.param((16, 64), id="low")]
)
def test_every_background(kind, size):
    background = paint_background(kind, *size, np.random.default_rng(2))
    assert background.shape == (*size, 3)
    assert background.dtype == np.uint8
    assert background.std() > 2, "not a uniform colour"
