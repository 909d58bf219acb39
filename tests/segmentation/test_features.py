"""Features of whole images."""

import numpy as np
import pytest

from streamseg.geometry import letterbox
from streamseg.segmentation.features import feature_map

SIZE = (96, 160)
PLACE = letterbox(SIZE, 160)


def of(prototypes, image, embedding=None):
    return feature_map(prototypes, embedding, image, PLACE)


@pytest.mark.parametrize(
    ("prototypes", "image"),
    [
        pytest.param(
            np.random.default_rng(0).normal(size=(32, 24, 40)).astype(np.float16),
            np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8),
            id="noise",
        ),
        pytest.param(np.zeros((8, 24, 40), np.float32), np.full((*SIZE, 3), 114, np.uint8), id="constant"),
    ],
)
def test_features_are_unit_vectors_on_half_the_grid(prototypes, image):
    found = of(prototypes, image)
    assert found.values.shape == (12, 20, len(prototypes) + 4)
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found.values, axis=2), 1, atol=1e-5)
    assert found.to_image.scale_x == 8


def test_equal_cells_are_more_similar_than_others():
    image = np.zeros((*SIZE, 3), np.uint8)
    image[:, :80], image[:, 80:] = (200, 30, 30), (30, 30, 200)
    values = of(np.random.default_rng(0).normal(size=(4, 24, 40)).astype(np.float32) * 1e-3, image).values
    similar, different = values[5, 2] @ values[5, 3], values[5, 2] @ values[5, 17]
    assert similar > different


def test_an_embedding_is_one_more_part():
    rng = np.random.default_rng(0)
    prototypes, image = rng.normal(size=(4, 24, 40)).astype(np.float32), rng.integers(0, 256, (*SIZE, 3), np.uint8)
    embedding = np.zeros((16, 12, 20), np.float16)
    embedding[0, :, :10], embedding[1, :, 10:] = 1, 1
    values = of(prototypes, image, embedding).values
    assert values.shape == (12, 20, 4 + 4 + 16)
    similarities = values @ values[6, 2]
    assert similarities[:, :10].mean() > similarities[:, 10:].mean()
