import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.errors import DataError
from streamseg.geometry import letterbox
from streamseg.modeling.preprocess import PADDING, check_image, letterbox_images


def grey(size, value=200):
    return np.full((*size, 3), value, np.uint8)


@given(st.tuples(st.integers(1, 300), st.integers(1, 300)), st.sampled_from([32, 64, 100]))
@settings(deadline=None)
def test_image_is_placed_inside_the_padding(size, imgsz):
    place = letterbox(size, imgsz)
    (batch,) = letterbox_images([grey(size)], [place])
    height, width = place.scaled_size
    inside = np.zeros(place.input_size, bool)
    inside[place.top : place.top + height, place.left : place.left + width] = True
    assert batch.shape == (*place.input_size, 3)
    assert (batch[inside] == 200).all()
    assert (batch[~inside] == PADDING).all()


def test_downscaling_by_two_averages_four_pixels():
    image = np.zeros((64, 64, 3), np.uint8)
    image[::2, ::2] = 200
    (batch,) = letterbox_images([image], [letterbox((64, 64), 32)])
    assert np.abs(batch.astype(int) - 50).max() <= 1


def test_image_of_the_input_size_is_copied():
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    (batch,) = letterbox_images([image], [letterbox((32, 64), 64)])
    assert (batch == image).all()
    assert not np.shares_memory(batch, image)


@pytest.mark.parametrize("view", [lambda a: a[..., ::-1], lambda a: a[::2, ::3], lambda a: a.transpose(1, 0, 2)])
def test_strided_views_are_read_correctly(view):
    image = view(np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8))
    places = [letterbox(image.shape[:2], 64)]
    assert (letterbox_images([image], places) == letterbox_images([image.copy()], places)).all()


def test_images_of_different_sizes_share_a_batch_if_their_input_size_is_equal():
    sizes = [(72, 128), (36, 64)]
    places = [letterbox(size, 64) for size in sizes]
    batch = letterbox_images([grey(size, 10 * i) for i, size in enumerate(sizes, 1)], places)
    assert batch.shape == (2, 64, 64, 3)
    assert [batch[i, 32, 32, 0] for i in range(2)] == [10, 20]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        pytest.param(np.zeros((4, 4), np.uint8), r"got uint8 \(4, 4\)", id="grey"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), r"got uint8 \(4, 4, 4\)", id="RGBA"),
        pytest.param(np.zeros((3, 4, 4), np.uint8), r"got uint8 \(3, 4, 4\)", id="channels first"),
        pytest.param(np.zeros((4, 4, 3), np.float32), r"got float32 \(4, 4, 3\)", id="float"),
        pytest.param(np.zeros((0, 4, 3), np.uint8), r"got uint8 \(0, 4, 3\)", id="no rows"),
        pytest.param([[1]], "got list", id="list"),
        pytest.param(None, "got NoneType", id="None"),
    ],
)
def test_invalid_images_are_rejected(image, message):
    with pytest.raises(DataError, match=message):
        check_image(image)
