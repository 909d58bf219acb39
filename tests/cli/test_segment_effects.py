"""`streamseg segment --effect`: images with an effect in place of overlays, and errors."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamseg.cli.main import main
from streamseg.weights import save_weights
from tests.support.networks import blobs, lively_network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "n.safetensors"
    save_weights(lively_network("n", seed=1).state_dict(), path)
    return str(path)


@pytest.fixture
def segment(weights, tmp_path):
    """Segment an image of blobs; returns the exit code, the image and its result."""

    def run(*arguments: str) -> tuple[int, np.ndarray, np.ndarray | None]:
        path, out = tmp_path / "blobs.png", tmp_path / "out"
        cv2.imwrite(str(path), blobs((120, 160), seed=9))
        network = ["--weights", weights, "--engine", "torch", "--imgsz", "128", "--conf", "0.5", "--max_det", "20"]
        code = main(["segment", str(path), *arguments, "--no-images", "--out", str(out), *network])
        return code, cv2.imread(str(path)), cv2.imread(str(out / "blobs.png"), cv2.IMREAD_UNCHANGED)

    return run


def test_cutout_of_an_image_is_transparent_and_keeps_the_pixels_of_the_object(segment):
    code, image, result = segment("--points", "80,60", "--effect", "cutout")
    assert code == 0
    assert result is not None
    assert result.shape == (120, 160, 4)
    is_visible = result[:, :, 3] > 0
    assert 0 < is_visible.sum() < is_visible.size
    assert (result[is_visible][:, :3] == image[is_visible]).all()
    assert not result[~is_visible].any()


def test_a_background_is_a_colour_or_an_image(segment):
    _, _, result = segment("--points", "80,60", "--effect", "cutout", "--effect-background", "#102030")
    assert result is not None
    assert result.shape == (120, 160, 3)
    assert (result == (0x30, 0x20, 0x10)).all(axis=2).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--effect", "blur"], "--effect blur needs the object to show: add --points", id="no prompt"),
        pytest.param(
            ["--points", "1,1", "--effect-background", "#000000"], "belongs to --effect cutout", id="no cutout"
        ),
        pytest.param(
            ["--points", "1,1", "--effect", "cutout", "--effect-background", "#12"],
            "--effect-background: '#12' is no colour; write #RRGGBB",
            id="no colour",
        ),
        pytest.param(
            ["--points", "1,1", "--effect", "cutout", "--effect-background", "none.png"],
            "effect.background: ",
            id="no image",
        ),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(segment, capsys, arguments, message):
    code, _, result = segment(*arguments)
    assert code == 2
    assert result is None
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
