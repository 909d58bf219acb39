"""The paper's tables on data sets of a few drawn pictures, in the layouts in which they are published."""

import json
import sys

import cv2
import numpy as np
import pytest
from networks import lively_network
from pictures import coco_folder, disc, paint, rectangle
from scipy.io import savemat

from benchmarks.reproduce_paper import annotated_folder, bsds_folder, main
from streamseg.annotations import read_image, read_pictures
from streamseg.evaluation.edges import evaluate_detector
from streamseg.segmentation.weights import save_weights

SIZE = (64, 96)
MASKS = [disc(SIZE, 30, 30, 18), rectangle(SIZE, 55, 10, 90, 50)]
IMAGE = paint(MASKS, [(200, 9, 9), (9, 200, 9)], SIZE)
OUTLINE = cv2.Canny(IMAGE, 50, 100) > 0


def labels():
    from test_evaluation_proposals import labels

    return labels(MASKS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """COCO, LVIS and BSDS500 with three pictures each."""
    root = tmp_path_factory.mktemp("data")
    drawn = coco_folder(root / "drawn", [(IMAGE, labels())] * 3)
    content = json.loads((drawn / "instances.json").read_text())
    (root / "coco" / "annotations").mkdir(parents=True)
    (root / "coco" / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    (drawn / "images").rename(root / "coco" / "val2017")
    for entry in content["images"]:
        entry["coco_url"] = f"http://images.cocodataset.org/val2017/{entry.pop('file_name')}"
    (root / "lvis").mkdir()
    (root / "lvis" / "lvis_v1_val.json").write_text(json.dumps(content))
    bsds = root / "bsds"
    (bsds / "images" / "test").mkdir(parents=True)
    (bsds / "groundTruth" / "test").mkdir(parents=True)
    for name in ("100", "200", "300"):
        cv2.imwrite(str(bsds / "images" / "test" / f"{name}.jpg"), IMAGE[:, :, ::-1])
        drawings = np.empty((1, 2), dtype=object)
        for annotator in range(2):
            drawings[0, annotator] = {"Boundaries": OUTLINE.astype(np.uint8), "Segmentation": np.ones(SIZE, np.uint16)}
        savemat(bsds / "groundTruth" / "test" / f"{name}.mat", {"groundTruth": drawings})
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "lively.safetensors"
    save_weights(lively_network().state_dict(), path)
    return path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["reproduce_paper", *map(str, arguments)])
    return main()


def test_every_table(data, weights, tmp_path, monkeypatch, capsys):
    file = tmp_path / "paper.json"
    arguments = ["--weights", weights, "--imgsz", 96, "--runs", 1, "--limit", 2, "--device", "cpu", "--json", file]
    folders = ["--coco", data / "coco", "--lvis", data / "lvis", "--bsds", data / "bsds"]
    assert run(monkeypatch, *arguments, *folders) == 0
    rows = json.loads(file.read_text())["rows"]
    papers = {(row["table"][0], row["figure"]): row["paper"] for row in rows}
    assert papers["2", "ODS"] == 0.750
    assert papers["3", "AR@1000"] == 0.637
    assert papers["3", "AUC"] == 0.322
    assert papers["4", "small"] == 0.443
    assert papers["5", "all"] == 0.497
    assert {table for table, _ in papers} == set("12345")
    # No object is large: there is nothing to recall.
    figures = {(row["table"][0], row["figure"]): row["here"] for row in rows if row["table"][0] != "1"}
    assert {place for place, here in figures.items() if np.isnan(here)} == {("4", "large"), ("5", "large")}
    assert all(np.isnan(here) or 0 <= here <= 1 for here in figures.values())
    assert all(row["here"] > 0 for row in rows if row["table"][0] == "1")
    printed = capsys.readouterr()
    assert "the first 2 pictures only" in printed.out
    assert "paper  reference     here" in printed.out
    assert "left out" not in printed.err


def test_what_is_absent_is_named(weights, tmp_path, monkeypatch, capsys):
    arguments = ["--weights", weights, "--imgsz", 96, "--runs", 1, "--device", "cpu"]
    assert run(monkeypatch, *arguments, "--coco", tmp_path, "--bsds", tmp_path / "nowhere") == 0
    printed = capsys.readouterr()
    assert [line.partition("left out")[0] for line in printed.err.splitlines() if "left out" in line] == [
        "table 2 ",
        "table 3 ",
        "tables 4 and 5 ",
    ]
    assert "fetch COCO val2017: http://images.cocodataset.org/zips/val2017.zip" in printed.err
    assert "1 speed, ms" in printed.out


def test_weights_that_are_not_there(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--weights", tmp_path / "none.pt") == 2
    assert "reproduce_paper: " in capsys.readouterr().err


def test_lvis_pictures_lie_where_their_address_says(data):
    with annotated_folder(data / "lvis" / "lvis_v1_val.json", data / "coco", 2) as folder:
        pictures = read_pictures(folder)
        assert len(pictures) == 2
        assert all(read_image(picture).shape == (*SIZE, 3) for picture in pictures)
        assert [len(picture.annotations) for picture in pictures] == [2, 2]


def test_bsds_drawings_come_out_of_their_files(data):
    with bsds_folder(data / "bsds") as folder:
        scores = evaluate_detector(lambda image: OUTLINE.astype(np.float32), folder)
    assert (scores.num_pictures, scores.num_drawings) == (3, 6)
    assert scores.ods == 1
