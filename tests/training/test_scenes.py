import numpy as np
import pytest

from streamseg.synthetic import SceneRenderer
from streamseg.training.scenes import FIRST_SEED, IMAGES_PER_SCENE, SIZES, SceneSamples


@pytest.fixture(scope="module")
def samples():
    return SceneSamples(num_scenes=2)


def test_number_of_images(samples):
    assert len(samples) == 2 * IMAGES_PER_SCENE
    assert len(SceneSamples()) == 48 * IMAGES_PER_SCENE


@pytest.mark.slow
def test_masks_are_inside_the_image_and_disjoint(samples):
    for index in range(0, len(samples), 37):
        sample = samples.sample(index)
        height, width = sample.image.shape[:2]
        assert (width, height) in SIZES
        assert sample.background_weight == 1
        num_wholes = np.zeros((height, width), dtype=int)
        wholes = np.zeros((height, width), dtype=bool)
        for labelled in sample.objects:
            assert not labelled.is_crowd
            mask = labelled.mask.full((height, width))
            assert mask.any()
            if labelled.is_part:
                assert (wholes & mask).sum() > 0.9 * mask.sum()
            else:
                num_wholes += mask
                wholes |= mask
        assert num_wholes.max() == 1


@pytest.mark.slow
def test_masks_match_the_image(samples):
    """Outside the masks is only background: images of one scene differ only inside the masks."""
    first, other = samples.sample(3), samples.sample(4)
    outside = np.ones(first.image.shape[:2], dtype=bool)
    for sample in (first, other):
        for labelled in sample.objects:
            outside &= ~labelled.mask.full(outside.shape)
    difference = np.abs(first.image.astype(int) - other.image).max(axis=2)
    assert outside.mean() > 0.2
    assert np.mean(difference[outside] > 12) < 0.05  # blurred edges and objects too small to be labelled
    assert np.mean(difference[~outside] > 12) > 0.5


@pytest.mark.slow
def test_image_does_not_depend_on_earlier_calls(samples):
    fresh = SceneSamples(num_scenes=2).sample(IMAGES_PER_SCENE + 5)
    samples.sample(7)
    again = samples.sample(IMAGES_PER_SCENE + 5)
    assert np.array_equal(fresh.image, again.image)
    assert len(fresh.objects) == len(again.objects)
    assert all(
        np.array_equal(one.mask.crop, other.mask.crop) and (one.mask.x, one.mask.y) == (other.mask.x, other.mask.y)
        for one, other in zip(fresh.objects, again.objects, strict=True)
    )


@pytest.mark.slow
def test_images_and_scenes_differ(samples):
    images = [samples.sample(index).image for index in (0, 1, IMAGES_PER_SCENE, IMAGES_PER_SCENE + 1)]
    for i, one in enumerate(images):
        assert not any(np.array_equal(one, other) for other in images[:i])


@pytest.mark.slow
def test_evaluation_scenes_are_not_trained_on(samples):
    """The default scene and the first seeds have other backgrounds at the same size."""
    height, width = samples.sample(0).image.shape[:2]
    assert FIRST_SEED > 10_000
    for seed in range(3):
        assert not np.array_equal(SceneRenderer(width, height, seed=seed).render(0), samples.sample(0).image)
