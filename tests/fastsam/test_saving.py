"""Files that predictions write."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamseg.errors import ConfigError, DataError
from streamseg.fastsam.saving import ResultWriter, Saving
from streamseg.fastsam.sources import SourceImage
from tests.support.fastsam_results import rectangles, results_of

MASKS = rectangles((5, 5, 25, 30), (40, 10, 70, 50))
IMAGE = np.full((60, 80, 3), 100, np.uint8)
ALL = {"save": True, "save_txt": True, "save_crop": True}


def write(images, folder, *, masks=MASKS, **options):
    """Write results of images (path, frame) into `folder/predict`; return the names of the files."""
    with ResultWriter(Saving(project=str(folder), **options), "predict") as writer:
        for path, frame in images:
            result = results_of(masks, path=path)
            writer.write(SourceImage(IMAGE, path, (frame or 0) / 10, frame), result)
            assert result.save_dir == (str(writer.folder) if writer.folder else None)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_an_image(tmp_path):
    assert write([("photos/dogs.jpg", None)], tmp_path, **ALL) == [
        "predict/crops/object/dogs.jpg",
        "predict/crops/object/dogs2.jpg",
        "predict/dogs.jpg",
        "predict/labels/dogs.txt",
    ]
    assert not np.array_equal(cv2.imread(str(tmp_path / "predict/dogs.jpg")), IMAGE)
    assert cv2.imread(str(tmp_path / "predict/crops/object/dogs.jpg")).shape == (25, 20, 3)
    assert cv2.imread(str(tmp_path / "predict/crops/object/dogs2.jpg")).shape == (40, 30, 3)
    assert len((tmp_path / "predict/labels/dogs.txt").read_text().splitlines()) == 2


def test_a_video(tmp_path):
    frames = [("street.mkv", number) for number in range(3)]
    assert write(frames, tmp_path, save=True, save_txt=True) == [
        "predict/labels/street_1.txt",
        "predict/labels/street_2.txt",
        "predict/labels/street_3.txt",
        "predict/street.mp4",
    ]
    with av.open(str(tmp_path / "predict/street.mp4")) as video:
        times = [float(frame.pts * frame.time_base) for frame in video.decode(video=0)]
    assert times == pytest.approx([0, 0.1, 0.2])


def test_two_videos_with_one_name(tmp_path):
    frames = [("a/x.mp4", 0), ("a/x.mp4", 1), ("b/x.mp4", 0)]
    assert write(frames, tmp_path, save=True) == ["predict/x-2.mp4", "predict/x.mp4"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param("image0.jpg", "image0.jpg", id="array"),
        pytest.param("photo.heic", "photo.png", id="format that OpenCV does not write"),
        pytest.param("no suffix", "no_suffix.png", id="no suffix"),
        pytest.param("https://host/a b.jpg?token=1", "host_a_b.jpg", id="address of an image"),
        pytest.param("rtsp://user:secret@camera:554/live", "camera_live.png", id="address with a password"),
        pytest.param("photo[1].jpg", "photo_1_.jpg", id="signs"),
        pytest.param("Straße.png", "Straße.png", id="letters"),
    ],
)
def test_names_of_overlays(tmp_path, path, name):
    assert write([(path, None)], tmp_path, save=True) == [f"predict/{name}"]


def test_images_with_one_name_are_numbered(tmp_path):
    images = [("a/x.png", None), ("b/x.png", None), ("c/x.jpg", None)]
    assert write(images, tmp_path, save=True, save_txt=True) == [
        "predict/labels/x-2.txt",
        "predict/labels/x-3.txt",
        "predict/labels/x.txt",
        "predict/x-2.png",
        "predict/x-3.jpg",
        "predict/x.png",
    ]


def test_without_objects_there_is_an_overlay_only(tmp_path):
    assert write([("x.png", None)], tmp_path, masks=MASKS[:0], **ALL) == ["predict/x.png"]
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "predict/x.png")), IMAGE)


def test_the_second_run_has_its_own_folder(tmp_path):
    for _ in range(2):
        write([("x.png", None)], tmp_path, save_txt=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predict", "predict2"]


def test_a_run_in_the_same_folder_replaces_its_labels(tmp_path):
    for _ in range(2):
        names = write([("x.png", None)], tmp_path, save_txt=True, exist_ok=True)
    assert names == ["predict/labels/x.txt"]
    assert len((tmp_path / "predict/labels/x.txt").read_text().splitlines()) == 2
    write([("x.png", None)], tmp_path, masks=MASKS[:0], save_txt=True, exist_ok=True)
    assert not (tmp_path / "predict/labels/x.txt").exists()


def test_nothing_to_write_leaves_no_folder(tmp_path):
    assert write([("x.png", None)], tmp_path / "new", save_conf=True) == []
    assert not (tmp_path / "new").exists()
    with ResultWriter(Saving(save=True, project=str(tmp_path / "new")), "predict"):
        pass
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("error", "names"),
    [
        pytest.param(KeyboardInterrupt, ["street.mp4"], id="Ctrl-C"),
        pytest.param(GeneratorExit, ["street.mp4"], id="the loop was left"),
        pytest.param(DataError, [], id="error"),
    ],
)
def test_video_of_an_interrupted_run(tmp_path, error, names):
    def run():
        with ResultWriter(Saving(save=True, project=str(tmp_path)), "predict") as writer:
            writer.write(SourceImage(IMAGE, "street.mp4", 0, 0), results_of(MASKS, path="street.mp4"))
            raise error

    with pytest.raises(error):
        run()
    assert [path.name for path in (tmp_path / "predict").iterdir()] == names


def test_options_of_overlays(tmp_path):
    plain = results_of(MASKS).plot(conf=False, labels=False, boxes=False)
    write([("x.png", None)], tmp_path, save=True, show_labels=False, show_conf=False, show_boxes=False)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "predict/x.png")), plain)
    thick = results_of(MASKS).plot(line_width=5)
    write([("x.png", None)], tmp_path / "thick", save=True, line_width=5)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "thick/predict/x.png")), thick)
    with pytest.raises(ConfigError, match="line_width must be 1 or more"):
        Saving(line_width=0)


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "predict").mkdir()
    (tmp_path / "predict/labels").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write .*labels/x\.txt"):
        write([("x.png", None)], tmp_path, save_txt=True, exist_ok=True)
    assert Path(tmp_path / "predict/labels").read_text() == "in the way"
