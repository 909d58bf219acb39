import numpy as np
import pytest

from streamseg.synthetic.textures import TEXTURES


@pytest.mark.parametrize("name", sorted(TEXTURES))
def test_every_texture(name):
    field = TEXTURES[name](40, 23, np.random.default_rng(0))
    assert field.shape == (40, 23)
    assert field.dtype == np.float32
    assert 0.3 < field.min() <= field.mean() <= field.max() < 2
    assert 0.75 < field.mean() < 1.25
