"""`streamseg segment` on many images: what fails is named, skipped and counted, and finished work is kept."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from streamseg.cli.main import main
from streamseg.weights import save_weights
from tests.support.networks import blobs, lively_network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "n.safetensors"
    return str(save_weights(lively_network("n", seed=1).state_dict(), path))


@pytest.fixture
def segment(weights, tmp_path):
    """Run the command with a small network; return the exit code and the names of the files written."""

    def call(source, *flags):
        out = tmp_path / "results"
        small = ["--weights", weights, "--engine", "torch", "--imgsz", "128", "--conf", "0.5", "--max_det", "5"]
        code = main(["segment", str(source), "--out", str(out), *small, *flags])
        return code, sorted(path.name for path in out.iterdir()) if out.exists() else []

    return call


@pytest.fixture
def folder(tmp_path):
    """A folder of images of five formats, and one cut JPEG."""
    folder = tmp_path / "mixed.d"
    folder.mkdir()
    image = Image.fromarray(blobs((96, 128), seed=9))
    for name, kind in (("a.jpg", "JPEG"), ("c.png", "PNG"), ("d.avif", "AVIF"), ("e.jfif", "JPEG"), ("f", "WEBP")):
        image.save(folder / name, kind)
    content = (folder / "a.jpg").read_bytes()
    (folder / "b.jpg").write_bytes(content[: len(content) // 2])
    (folder / "notes.txt").write_text("no image")
    return folder


WHOLE = ["a.png", "c.png", "d.png", "e.png", "f.png"]


@pytest.mark.parametrize(
    ("flags", "expected_code"), [pytest.param([], 0, id="default"), pytest.param(["--strict"], 2, id="strict")]
)
def test_a_bad_image_is_named_skipped_and_counted(segment, folder, capsys, caplog, flags, expected_code):
    code, names = segment(folder, *flags)
    assert code == expected_code
    assert names == [*WHOLE, "images", "instances.json"]
    assert "5 frames" in (summary := capsys.readouterr().out)
    assert ", 1 skipped -> " in summary
    assert "b.jpg is not a readable image: the file is truncated" in caplog.text


def test_without_a_bad_image_strict_succeeds(segment, folder, capsys):
    (folder / "b.jpg").unlink()
    code, names = segment(folder, "--strict")
    assert code == 0
    assert names == [*WHOLE, "images", "instances.json"]
    assert "skipped" not in capsys.readouterr().out


def test_progress_counts_skipped_images(segment, folder, capsys):
    (folder / "z.jpg").write_text("no image")
    assert segment(folder)[0] == 0
    assert capsys.readouterr().err.splitlines()[-1].lstrip("[#.] ").startswith("7/7 images")


def test_images_that_the_prompts_do_not_fit_are_skipped(segment, folder, capsys, caplog):
    Image.new("RGB", (40, 30)).save(folder / "small.png")
    code, names = segment(folder, "--points", "[[100, 50]]")
    assert code == 0
    assert names == [*WHOLE, "images", "instances.json"]
    assert ", 2 skipped -> " in capsys.readouterr().out
    assert "small.png: prompt 'point0': point [100, 50] lies outside the image of 40x30" in caplog.text


@pytest.mark.parametrize(
    ("flags", "keep", "message"),
    [
        pytest.param([], "b.jpg", "none of 1 image can be read", id="all unreadable"),
        pytest.param(["--points", "[[500, 50]]"], "a.jpg", "point [500, 50] lies outside", id="prompts fit none"),
    ],
)
def test_nothing_but_bad_images_is_an_error(segment, folder, capsys, flags, keep, message):
    for path in folder.iterdir():
        if path.name != keep:
            path.unlink()
    code, names = segment(folder, *flags)
    assert (code, names) == (2, [])
    assert message in capsys.readouterr().err.splitlines()[-1]


class Interrupt:
    """Draws nothing, and acts like Ctrl-C at the third image."""

    def __init__(self):
        self.num_images = 0

    def __call__(self, image, message):
        self.num_images += 1
        if self.num_images == 3:
            raise KeyboardInterrupt
        return image


def test_finished_images_are_kept_when_the_run_is_interrupted(segment, folder, monkeypatch):
    monkeypatch.setattr("streamseg.cli.outputs.Outputs._outlines", Interrupt().__call__)
    code, names = segment(folder)
    assert code == 130
    assert names == ["a.png", "c.png", "images", "instances.json"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("photo.jfif", "JPEG", id="JFIF"),
        pytest.param("photo.avif", "AVIF", id="AVIF"),
        pytest.param("photo[1].jpg", "JPEG", id="name like a pattern"),
        pytest.param("photo.mp4", "PNG", id="named as a video"),
        pytest.param("photo", "TIFF", id="without a suffix"),
        pytest.param("photo.gif", "GIF", id="still GIF"),
    ],
)
def test_image_gives_a_png_whatever_its_name(segment, tmp_path, name, kind):
    Image.fromarray(blobs((96, 128), seed=9)).save(tmp_path / name, kind)
    code, names = segment(tmp_path / name)
    overlay = f"{(tmp_path / name).stem}.png"
    assert code == 0
    assert names == sorted(["images", "instances.json", overlay])
    assert cv2.imread(str(tmp_path / "results" / overlay)).shape == (96, 128, 3)


@pytest.mark.parametrize("name", ["a.webp", "a.gif", "a.png"])
def test_animation_gives_a_video_with_its_times(segment, tmp_path, name):
    import av

    first, *others = [Image.fromarray(np.roll(blobs((96, 128), seed=9), 4 * n, axis=1)) for n in range(4)]
    first.save(tmp_path / name, save_all=True, append_images=others, duration=[100, 300, 100, 100])
    code, names = segment(tmp_path / name)
    assert code == 0
    assert names == ["a.mp4", "images", "instances.json"]
    with av.open(str(tmp_path / "results" / "a.mp4")) as video:
        times = [frame.time for frame in video.decode(video=0)]
    assert times == pytest.approx([0, 0.1, 0.4, 0.5], abs=0.001)
    content = json.loads((tmp_path / "results" / "instances.json").read_text())
    assert [one["timestamp_seconds"] for one in content["images"]] == pytest.approx([0, 0.1, 0.4, 0.5], abs=0.001)
    assert {one["image_id"] for one in content["annotations"]} <= {one["id"] for one in content["images"]}


@pytest.mark.parametrize("name", ["photo[1].jpg", "photo.jfif"])
def test_fastsam_flags_accept_the_same_files(weights, tmp_path, name):
    Image.fromarray(blobs((96, 128), seed=9)).save(tmp_path / name, "JPEG")
    flags = ["--model_path", weights, "--img_path", str(tmp_path / name), "--output", f"{tmp_path}/out/"]
    assert main(["segment", *flags, "--imgsz", "128", "--engine", "torch"]) == 0
    overlay = name if name.endswith(".jpg") else "photo.png"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["instances.json", overlay]
