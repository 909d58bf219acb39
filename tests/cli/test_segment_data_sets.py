"""The data sets that `streamseg segment` writes: complete, opened by other programs, and taken by our own commands."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from streamseg.cli.main import main
from streamseg.datasets.check import usable_images
from streamseg.datasets.coco_folder import CocoFolder
from streamseg.datasets.masks import annotation_mask
from streamseg.datasets.problems import Problems
from streamseg.imaging import load_image
from streamseg.weights import save_weights
from tests.support.data_sets_by_others import coco_masks, supervision_data_set
from tests.support.networks import blobs, lively_network
from tests.support.videos import write_video

pytestmark = pytest.mark.slow

SIZE = (96, 128)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "n.safetensors"
    return str(save_weights(lively_network("n", seed=1).state_dict(), path))


@pytest.fixture(scope="module")
def network(weights):
    return ["--weights", weights, "--engine", "torch", "--imgsz", "128"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of images that differ in format: plain ones, a turned JPEG, a palette, and two with the same stem."""
    folder = tmp_path_factory.mktemp("photos")
    images = [Image.fromarray(blobs(SIZE, seed=seed)) for seed in range(5)]
    exif = Image.Exif()
    exif[0x0112] = 6
    images[0].save(folder / "a.jpg", quality=95)
    images[1].save(folder / "a.png")
    images[2].save(folder / "turned.jpg", exif=exif, quality=95)
    images[3].convert("P").save(folder / "palette.gif")
    images[4].save(folder / "7.webp", lossless=True)
    return folder


@pytest.fixture(scope="module")
def written(network, photos, tmp_path_factory):
    """The photos in each format: a function from the format to its folder; each is written once."""
    folders = {}

    def write(data_format):
        if data_format not in folders:
            folders[data_format] = tmp_path_factory.mktemp("out") / data_format
            flags = ["--format", data_format, "--conf", "0.5", "--max_det", "6"]
            assert main(["segment", str(photos), "--out", str(folders[data_format]), *network, *flags]) == 0
        return folders[data_format]

    return write


def content_of(folder):
    return json.loads((folder / "instances.json").read_text())


NAMES = {"7.png": SIZE, "a-1.png": SIZE, "a.jpg": SIZE, "palette.png": SIZE, "turned.png": (128, 96)}
"""Names and sizes of the images in the data set: what other programs would read differently becomes PNG."""


def test_coco_data_set_is_complete(written):
    folder = written("coco")
    content = content_of(folder)
    assert content["info"]["description"] == "Written by streamseg segment"
    assert content["categories"] == [{"id": 1, "name": "object", "supercategory": ""}]
    assert {one["file_name"]: (one["height"], one["width"]) for one in content["images"]} == NAMES
    assert sorted(path.name for path in (folder / "images").iterdir()) == sorted(NAMES)
    ids = [one["id"] for one in content["images"]]
    assert len(set(ids)) == len(ids)
    sizes = {one["id"]: [one["height"], one["width"]] for one in content["images"]}
    assert [one["id"] for one in content["annotations"]] == list(range(1, len(content["annotations"]) + 1))
    for one in content["annotations"]:
        assert one["segmentation"]["size"] == sizes[one["image_id"]]
        assert isinstance(one["segmentation"]["counts"], str)
        assert {"category_id", "area", "bbox", "score", "iscrowd", "track_id", "prompt_ids"} <= one.keys()
        assert (one["category_id"], one["iscrowd"]) == (1, 0)
    assert len(content["annotations"]) > 5


def test_images_have_the_segmented_pixels_and_plain_files_are_copied(written, photos):
    for data_format, folder in (("coco", "images"), ("yolo", "images/train"), ("labelme", "images")):
        images = written(data_format) / folder
        assert (images / "a.jpg").read_bytes() == (photos / "a.jpg").read_bytes()
        assert (images / "a-1.png").read_bytes() == (photos / "a.png").read_bytes()
        for name, original in (("turned.png", "turned.jpg"), ("palette.png", "palette.gif"), ("7.png", "7.webp")):
            assert np.array_equal(load_image(images / name), load_image(photos / original))
            assert np.array_equal(cv2.imread(str(images / name))[:, :, ::-1], load_image(photos / original))


def masks_of(folder):
    """The masks of each image as our own reader builds them."""
    entries = usable_images(folder, Problems())
    return {
        one.path.name: [annotation_mask(each, one.size).full(one.size) for each in one.annotations] for one in entries
    }


def test_masks_of_a_coco_data_set_are_exact_in_pycocotools_and_supervision(written):
    folder = written("coco")
    ours, theirs = masks_of(folder), coco_masks(folder)
    assert ours.keys() == theirs.keys() == NAMES.keys()
    for name, masks in ours.items():
        assert len(masks) == len(theirs[name])
        assert all(np.array_equal(one, other) for one, other in zip(masks, theirs[name], strict=True))
    data_set = supervision_data_set("coco", folder)
    assert data_set.classes == ["object"]
    seen = 0
    for path, image, detections in data_set:
        name = path.rpartition("/")[2]
        assert image.shape[:2] == NAMES[name]
        found = [] if detections.mask is None else list(detections.mask)
        assert len(found) == len(ours[name])
        assert all(np.array_equal(one, other) for one, other in zip(found, ours[name], strict=True))
        seen += 1
    assert seen == len(NAMES)


def iou(one, other):
    return (one & other).sum() / max((one | other).sum(), 1)


def test_polygons_of_a_yolo_data_set_are_close(written, capsys):
    """Read by our own reader; the tolerance of half a pixel is that of the polygons."""
    exact, yolo = masks_of(written("coco")), masks_of(written("yolo"))
    assert yolo.keys() == exact.keys()
    for name, masks in exact.items():
        assert len(yolo[name]) == len(masks) > 0
        for one, other in zip(yolo[name], masks, strict=True):
            border = cv2.dilate(other.astype(np.uint8), np.ones((3, 3))) - cv2.erode(
                other.astype(np.uint8), np.ones((3, 3))
            )
            assert not np.any((one != other) & (border == 0)), "only pixels at the outline differ"
            assert iou(one, other) > 0.9


@pytest.mark.parametrize("data_format", ["yolo", "labelme"])
def test_polygons_are_opened_by_supervision(written, data_format):
    exact = masks_of(written("coco"))
    data_set = supervision_data_set(data_format, written(data_format))
    assert list(data_set.classes) == ["object"]
    assert len(data_set) == len(NAMES)
    for path, image, detections in data_set:
        name = path.rpartition("/")[2]
        assert image.shape[:2] == NAMES[name]
        assert len(detections) == len(exact[name])


def test_labelme_files(written):
    folder = written("labelme")
    assert (folder / "labels.txt").read_text() == "__ignore__\nobject\n"
    for name, (height, width) in NAMES.items():
        content = json.loads((folder / "images" / name).with_suffix(".json").read_text())
        assert (content["imagePath"], content["imageData"]) == (name, None)
        assert (content["imageHeight"], content["imageWidth"]) == (height, width)
        for shape in content["shapes"]:
            assert (shape["label"], shape["shape_type"]) == ("object", "polygon")
            points = np.array(shape["points"])
            assert points.shape[1] == 2
            assert len(points) >= 3
            assert points.min() >= 0
            assert np.all(points <= (width, height))


def test_masks_are_object_numbers(written):
    folder, exact = written("masks"), masks_of(written("coco"))
    with (folder / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(map(len, exact.values()))
    for name, masks in exact.items():
        image = cv2.imread(str(folder / "masks" / f"{name.rpartition('.')[0]}.png"), cv2.IMREAD_UNCHANGED)
        assert (image.dtype, image.shape) == (np.uint16, NAMES[name])
        own = [row for row in rows if row["image"] == name]
        assert [int(row["number"]) for row in own] == list(range(1, len(masks) + 1))
        best = {}
        for row, mask in sorted(zip(own, masks, strict=True), key=lambda pair: float(pair[0]["score"])):
            assert int(row["area"]) == mask.sum()
            best[int(row["number"])] = mask
        expected = np.zeros(NAMES[name], dtype=np.uint16)
        for number, mask in best.items():
            expected[mask] = number
        assert np.array_equal(image, expected)


def test_video_is_a_data_set_of_frames(network, tmp_path):
    video, out = write_video(tmp_path / "clip.mp4", 6), tmp_path / "out"
    assert main(["segment", str(video), "--out", str(out), *network, "--conf", "0.5", "--vid-stride", "2"]) == 0
    content = content_of(out)
    assert content["videos"] == [{"id": 1, "name": "clip.mp4"}]
    images = content["images"]
    assert [one["file_name"] for one in images] == [f"clip-{index:06}.jpg" for index in (0, 1, 2)]
    assert [one["frame_index"] for one in images] == [one["id"] for one in images]
    assert [one["timestamp_seconds"] for one in images] == pytest.approx([0, 2 / 25, 4 / 25])
    assert all(
        load_image(out / "images" / one["file_name"]).shape[:2] == (one["height"], one["width"]) for one in images
    )
    assert {one["image_id"] for one in content["annotations"]} <= {one["id"] for one in images}
    assert coco_masks(out).keys() == {one["file_name"] for one in images}
    assert len(supervision_data_set("coco", out)) == 3


@pytest.mark.parametrize("data_format", ["yolo", "labelme", "masks"])
def test_video_in_other_formats(network, tmp_path, data_format):
    video, out = write_video(tmp_path / "clip.mp4", 3), tmp_path / "out"
    flags = ["--format", data_format, "--conf", "0.5", "--no-overlay"]
    assert main(["segment", str(video), "--out", str(out), *network, *flags]) == 0
    assert len(list(out.rglob("clip-00000?.jpg"))) == 3
    assert len(list(out.rglob({"yolo": "*0?.txt", "labelme": "*.json", "masks": "*.png"}[data_format]))) == 3


TINY = ("num_steps=2", "batch_size=2", "sizes=[32]", "num_warmup_steps=1", "half=false")


@pytest.mark.parametrize(("data_format", "name"), [("coco", ""), ("yolo", "data.yaml"), ("yolo", "")])
def test_data_set_is_taken_by_train_and_eval(written, network, tmp_path, capsys, data_format, name):
    data = str(written(data_format) / name)
    settings = [word for setting in TINY for word in ("--set", setting)]
    assert main(["train", data, "--out", str(tmp_path / "run"), "--workers", "0", "--strict", *settings]) == 0
    assert main(["eval", "proposals", "--data", data, "--strict", *network]) == 0
    assert "5 images" in capsys.readouterr().out


def test_data_set_is_taken_by_label(written, network, tmp_path):
    folder = written("coco")
    assert main(["label", str(folder), "--out", str(tmp_path / "more"), "--strict", *network]) == 0
    before, after = content_of(folder), content_of(tmp_path / "more")
    assert after["images"] == before["images"]
    assert after["annotations"][: len(before["annotations"])] == before["annotations"]
    assert len(CocoFolder(tmp_path / "more", problems=Problems())) == len(NAMES)


def test_proposals_of_the_same_network_are_perfect(written, network, capsys):
    """The evaluation of a network on its own results, with the same settings: masks and images are exact."""
    flags = ["--conf", "0.5", "--max_det", "6", "--strict"]
    assert main(["eval", "proposals", "--data", str(written("coco")), *network, *flags]) == 0
    assert "1.000" in capsys.readouterr().out


def test_images_are_referred_to_without_copies(network, photos, tmp_path):
    out = tmp_path / "out"
    assert main(["segment", str(photos), "--out", str(out), *network, "--no-images", "--no-overlay"]) == 0
    assert [path.name for path in out.iterdir()] == ["instances.json"]
    names = [one["file_name"] for one in content_of(out)["images"]]
    assert sorted(names) == sorted(str(path) for path in photos.iterdir())
    assert len(CocoFolder(out, problems=None)) == len(NAMES)
    assert [entry.path.name for entry in usable_images(out, None)] == [name.rpartition("/")[2] for name in names]


def test_texts_are_categories(tmp_path, network):
    from tests.support.text_encoders import make_encoders

    cv2.imwrite(str(tmp_path / "a.png"), blobs(SIZE, seed=9))
    encoders = ["--text-encoders", str(make_encoders(tmp_path / "tiny")), "--text", "red cup", "--text", "blue cup"]
    assert main(["segment", str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), *network, *encoders]) == 0
    content = content_of(tmp_path / "out")
    assert [(one["id"], one["name"]) for one in content["categories"]] == [(1, "red cup"), (2, "blue cup")]
    assert {one["category_id"] for one in content["annotations"]} <= {1, 2}


def test_masks_of_another_size_are_scaled_to_the_image(tmp_path, network):
    """FastSAM mode without retina masks computes masks at the size of the network's input."""
    cv2.imwrite(str(tmp_path / "a.png"), blobs((120, 200), seed=9))
    flags = ["--img_path", str(tmp_path / "a.png"), "--output", f"{tmp_path}/out/", "--retina", "False", *network]
    assert main(["segment", *flags, "--conf", "0.3"]) == 0
    content = content_of(tmp_path / "out")
    assert content["images"][0]["file_name"] == str(tmp_path / "a.png")
    assert content["annotations"]
    assert all(one["segmentation"]["size"] == [120, 200] for one in content["annotations"])
    assert len(usable_images(tmp_path / "out", None)) == 1


def test_run_into_the_same_folder_replaces_its_results(network, tmp_path):
    path, out = tmp_path / "a.png", tmp_path / "out"
    cv2.imwrite(str(path), blobs(SIZE, seed=9))
    for _ in range(2):
        for data_format in ("coco", "yolo", "labelme", "masks"):
            assert main(["segment", str(path), "--out", str(out), "--format", data_format, *network]) == 0
    assert len(content_of(out)["images"]) == 1


def write_foreign(folder, name):
    (folder / "out" / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / "out" / name).write_text('{"images": []}')


@pytest.mark.parametrize(
    ("source", "flags", "foreign", "message"),
    [
        pytest.param("a.png", [], "instances.json", "is a data set that segment did not write", id="coco"),
        pytest.param("a.png", ["--format", "yolo"], "data.yaml", "is a data set that segment did not", id="yolo"),
        pytest.param("a.png", [], "images/a.png", "images/a.png is not from an earlier run", id="image"),
        pytest.param("a.png", ["--format", "labelme"], "images/a.json", "a.json is not from an", id="labelme"),
        pytest.param("a.png", ["--format", "yolo"], "labels/train/a.txt", "a.txt is not from an", id="yolo-labels"),
        pytest.param("a.png", [], "images", "cannot write into", id="images-is-a-file"),
        pytest.param("a.png", ["--format", "yolo", "--no-images"], "x", "omit --no-images", id="yolo-needs-images"),
        pytest.param("a.png", ["--out", "."], "x", "the overlay would replace the input", id="overlay-image"),
        pytest.param("clip.mp4", ["--out", "."], "x", "the overlay would replace the input", id="overlay-video"),
    ],
)
def test_nothing_is_replaced_that_segment_did_not_write(
    network, tmp_path, monkeypatch, capsys, source, flags, foreign, message
):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", blobs(SIZE, seed=9))
    write_video(tmp_path / "clip.mp4", 2)
    write_foreign(tmp_path, foreign)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["segment", source, "--out", "out", *flags, *network]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_images_of_a_data_set_folder_stay_in_place(network, tmp_path, monkeypatch):
    """`segment images --out .` makes a data set of the folder that contains them."""
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), blobs(SIZE, seed=9))
    before = (tmp_path / "images" / "a.png").stat()
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "images", "--out", ".", "--no-overlay", *network]) == 0
    assert (tmp_path / "images" / "a.png").stat().st_mtime_ns == before.st_mtime_ns
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "instances.json"]
    assert len(usable_images(tmp_path, None)) == 1
