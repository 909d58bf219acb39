"""When the mask of an older frame is still right."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.tiers.contract import BetterMask
from streamseg.tiers.quality.unchanged import Answer

SIZE = (120, 160)
BOX = (40.0, 30.0, 100.0, 80.0)


def textured() -> np.ndarray:
    coarse = np.random.default_rng(1).integers(60, 200, (15, 20, 3)).astype(np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def make_answer(image: np.ndarray) -> Answer:
    mask = CropMask(np.ones((50, 60), np.bool_), 40, 30, MaskSpace.of(SIZE))
    return Answer(BetterMask(mask, 0.9), BOX, image)


def shifted(image: np.ndarray, x: int, y: int) -> np.ndarray:
    return np.roll(image, (y, x), axis=(0, 1))


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(2).normal(0, sigma, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "is_valid"),
    [
        pytest.param(lambda image: image, True, id="same"),
        pytest.param(lambda image: noisy(image, 4), True, id="noise"),
        pytest.param(lambda image: shifted(image, 2, 0), False, id="two-pixels"),
        pytest.param(lambda image: shifted(image, 0, 20), False, id="far"),
        pytest.param(lambda image: (image * 0.7).astype(np.uint8), False, id="darker"),
        pytest.param(lambda image: image[:, :100], False, id="another-size"),
    ],
)
def test_images(change, is_valid: bool):
    image = textured()
    assert make_answer(image).is_valid(change(image), BOX) is is_valid


def test_what_changes_elsewhere_does_not_matter():
    image = textured()
    other = image.copy()
    other[:, 120:] = 0
    assert make_answer(image).is_valid(other, BOX)


@pytest.mark.parametrize(
    ("box", "is_valid"),
    [
        pytest.param(BOX, True, id="same"),
        pytest.param((41.0, 30.0, 101.0, 80.0), True, id="jitter"),
        pytest.param((50.0, 30.0, 110.0, 80.0), False, id="moved"),
        pytest.param((40.0, 30.0, 40.0, 30.0), False, id="empty"),
        pytest.param((0.0, 0.0, 10.0, 10.0), False, id="elsewhere"),
    ],
)
def test_boxes(box: tuple[float, float, float, float], is_valid: bool):
    image = textured()
    assert make_answer(image).is_valid(image, box) is is_valid


def test_it_drops_the_image_once_its_cells_are_known():
    image = textured()
    answer = make_answer(image)
    assert answer.is_valid(image, BOX)
    assert answer.image is None
    assert answer.is_valid(image, BOX)
    assert not answer.is_valid(255 - image, BOX)
