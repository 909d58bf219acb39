"""Effects on one image."""

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from streamseg.config.effect import EffectConfig
from streamseg.drawing.effects import CHROMA_GREEN, EffectStyle, Layer, cut_out, load_style, render_effect
from streamseg.drawing.image_file import write_image
from streamseg.errors import ConfigError
from streamseg.structures.mask import MaskSpace
from tests.support.messages import disc, make_object

SIZE = (144, 192)
SPACE = MaskSpace.of(SIZE)
RED = (220, 20, 20)


def checkerboard() -> np.ndarray:
    rows, columns = np.indices(SIZE) // 4
    return np.repeat(((rows + columns) % 2 * 200 + 20)[..., None], 3, axis=2).astype(np.uint8)


def scene() -> tuple[np.ndarray, Layer, np.ndarray]:
    """A red disc on a checkerboard, its layer, and its mask (H, W)."""
    image = checkerboard()
    mask = np.zeros(SIZE, dtype=np.bool_)
    mask[40:100, 60:120] = disc(60)
    image[mask] = RED
    return image, Layer(image, (make_object(disc(60), 60, 40),), SPACE), mask


def style(**keys: object) -> EffectStyle:
    found = load_style(EffectConfig(**keys))
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["cutout", "blur", "highlight"])
def test_objects_keep_their_pixels_and_the_input_is_not_modified(kind):
    image, layer, mask = scene()
    before = image.copy()
    result = render_effect(image, [layer], style(kind=kind))
    assert (result[68:72, 88:92] == RED).all()
    assert (image == before).all()
    assert result.shape == image.shape
    assert not (result[~mask] == image[~mask]).all()


def test_blur_hides_the_pattern_and_objects_make_no_halo():
    image, layer, mask = scene()
    result = render_effect(image, [layer], style(kind="blur"))
    background = result[~mask].astype(int)
    assert np.ptp(background[:, 1]) < 60  # 200 before
    # Beside the disc: grey, as far from red as anywhere.
    beside = result[70, 123].astype(int)
    assert abs(beside[0] - beside[1]) < 12


def test_without_objects_everything_is_hidden():
    image, _, _ = scene()
    assert (render_effect(image, [], style(kind="cutout")) == CHROMA_GREEN).all()
    blurred = render_effect(image, [], style(kind="blur"))
    assert np.ptp(blurred[:20, :, 1]) < 30  # 200 before


def test_background_is_a_colour_or_the_middle_of_an_image(tmp_path):
    image, layer, mask = scene()
    assert (render_effect(image, [layer], style(kind="cutout", background="#102030"))[~mask] == (16, 32, 48)).all()
    wide = np.zeros((50, 400, 3), dtype=np.uint8)
    wide[:, 180:220] = (10, 200, 10)
    write_image(tmp_path / "wide.png", wide)
    found = style(kind="cutout", background=str(tmp_path / "wide.png"))
    result = render_effect(image, [layer], found)
    assert result[20, 96].tolist() == [10, 200, 10]
    assert result[20, 2].tolist() == [0, 0, 0]
    # A small image is enlarged, a large one reduced.
    assert found.background_of((1000, 30)).shape == (1000, 30, 3)
    assert found.background_of((1, 1)).shape == (1, 1, 3)
    for height in range(1, 40):
        found.background_of((height, 2))
    assert len(found._fitted) <= 16


def test_cut_out_has_no_pixel_of_the_background():
    image, layer, mask = scene()
    result = cut_out(image, [layer])
    assert result.shape == (*SIZE, 4)
    assert not result[~mask].any()
    assert result[70, 90].tolist() == [*RED, 255]
    assert not cut_out(image, []).any()


def test_cut_out_as_a_file_is_transparent(tmp_path):
    image, layer, _ = scene()
    write_image(tmp_path / "a.png", cut_out(image, [layer]))
    read = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert read[70, 90].tolist() == [*RED[::-1], 255]
    assert read[0, 0].tolist() == [0, 0, 0, 0]


def test_a_layer_that_fades_lies_between_object_and_background():
    image, layer, _ = scene()
    found = style(kind="cutout", background="#000000")
    half = render_effect(image.copy(), [Layer(image, layer.objects, SPACE, 0.5)], found)
    assert half[70, 90].tolist() == [110, 10, 10]


@pytest.mark.parametrize("keys", [{"kind": "sepia"}, {"background": "#12345"}, {"blur": 0}, {"hold_s": -1}])
def test_bad_settings_are_refused(keys):
    with pytest.raises(ValidationError):
        EffectConfig(**keys)


def test_a_background_that_is_no_image_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    for name in ("missing.png", "text.png"):
        with pytest.raises(ConfigError, match=r"effect\.background: .*give an image, or a colour") as error:
            load_style(EffectConfig(kind="cutout", background=str(tmp_path / name)))
        assert "\n" not in str(error.value)
    assert load_style(EffectConfig()) is None
