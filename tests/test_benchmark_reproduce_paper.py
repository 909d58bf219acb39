"""The paper's tables on data sets of a few drawn pictures, in the layouts in which they are published."""

import json
import shutil
import sys

import cv2
import numpy as np
import pytest
from networks import lively_network
from pictures import coco_folder as drawn_folder
from pictures import disc, paint, rectangle
from scipy.io import savemat

from benchmarks.paper_data import bsds_folder, coco_folder, lvis_folder
from benchmarks.reproduce_paper import main
from streamseg.annotations import read_image, read_pictures
from streamseg.errors import DataError
from streamseg.evaluation.edges import evaluate_detector
from streamseg.evaluation.prompted import evaluate_prompted
from streamseg.evaluation.proposals import evaluate_proposals
from streamseg.segmentation import Segmenter
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
    drawn = drawn_folder(root / "drawn", [(IMAGE, labels())] * 3)
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
    assert {table for table, _ in papers} == set("12345l")
    references = {row["figure"]: row["reference"] for row in rows if row["reference"] is not None}
    assert references == {"everything, all masks": 106.0, "mIoU": 0.504}
    # No object is large: there is nothing to recall.
    figures = {(row["table"][0], row["figure"]): row["here"] for row in rows if row["table"][0] != "1"}
    assert {place for place, here in figures.items() if np.isnan(here)} == {("4", "large"), ("5", "large")}
    assert all(np.isnan(here) or 0 <= here <= 1 for here in figures.values())
    assert all(row["here"] > 0 for row in rows if row["table"][0] == "1")
    printed = capsys.readouterr()
    assert "the first 2 pictures only" in printed.out
    assert "paper  reference     here" in printed.out
    assert "left out" not in printed.err


def test_the_figures_are_those_of_the_evaluation(data, weights, tmp_path, monkeypatch):
    arguments = ["--weights", weights, "--imgsz", 96, "--device", "cpu", "--json", tmp_path / "paper.json"]
    assert run(monkeypatch, *arguments, "--coco", data / "coco", "--only", "coco", "boxes") == 0
    rows = {row["figure"]: row["here"] for row in json.loads((tmp_path / "paper.json").read_text())["rows"]}
    with coco_folder(data / "coco", None) as folder:
        with Segmenter(weights, imgsz=96, device="cpu", conf=0.001, iou=0.7, max_det=1000) as segmenter:
            box = evaluate_proposals(segmenter, folder).box
        with Segmenter(weights, imgsz=96, device="cpu", conf=0.4, iou=0.9, max_det=300) as segmenter:
            prompted = evaluate_prompted(segmenter, folder).box
    assert rows == {
        "AR@10": box.recall[10],
        "AR@100": box.recall[100],
        "AR@1000": box.recall[1000],
        "AUC": box.auc,
        "mIoU": prompted.mean_iou,
    }


def test_what_is_absent_is_named_before_anything_is_measured(weights, tmp_path, monkeypatch, capsys):
    arguments = ["--weights", weights, "--imgsz", 96, "--runs", 1, "--device", "cpu"]
    assert run(monkeypatch, *arguments, "--coco", tmp_path, "--bsds", tmp_path / "nowhere") == 0
    printed = capsys.readouterr()
    assert [line.partition(";")[0] for line in printed.err.splitlines() if "left out" in line] == [
        f"table 2 left out: --bsds {tmp_path / 'nowhere'} is no folder",
        f"table 3, labelled boxes of COCO left out: {tmp_path} has no val2017/, nor has images/ in it",
        "tables 4 and 5, labelled boxes of LVIS left out: no --lvis is given",
    ]
    assert "fetch COCO val2017: http://images.cocodataset.org/zips/val2017.zip" in printed.err
    assert "1 speed, ms" in printed.out


def test_nothing_to_measure_is_no_success(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--weights", "default", "--coco", tmp_path, "--only", "coco", "edges") == 2
    assert len([line for line in capsys.readouterr().err.splitlines() if "left out" in line]) == 2


def test_a_table_that_fails_costs_the_others_nothing(data, weights, tmp_path, monkeypatch, capsys):
    shutil.copytree(data / "coco", tmp_path / "coco")
    (tmp_path / "coco" / "val2017" / "002.png").write_bytes(b"cut off")
    arguments = ["--weights", weights, "--imgsz", 96, "--device", "cpu", "--json", tmp_path / "paper.json"]
    assert run(monkeypatch, *arguments, "--coco", tmp_path / "coco", "--bsds", data / "bsds", "--only", "coco", "edges")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "failed" in line]
    assert line.startswith(f"table 3 failed: picture {tmp_path / 'coco' / 'val2017' / '002.png'} is missing or unread")
    assert {row["table"][0] for row in json.loads((tmp_path / "paper.json").read_text())["rows"]} == {"2"}


@pytest.mark.parametrize("flags", [["--limit", 0], ["--runs", "few"], ["--only", "everything"]], ids=str)
def test_flags_that_make_no_sense(flags, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, *flags)
    assert flags[0] in capsys.readouterr().err


def test_weights_that_are_not_there(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--weights", tmp_path / "none.pt", "--only", "speed") == 2
    assert "reproduce_paper: no weights at" in capsys.readouterr().err


def test_results_that_cannot_be_written_are_told_first(data, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--weights", "default", "--json", data / "coco" / "val2017" / "001.png" / "a.json") == 2
    assert "reproduce_paper: " in capsys.readouterr().err


# ---- data sets as they are published


def test_lvis_pictures_lie_where_their_address_says(data):
    with lvis_folder(data / "lvis", data / "coco", 2) as folder:
        pictures = read_pictures(folder)
        assert len(pictures) == 2
        assert all(read_image(picture).shape == (*SIZE, 3) for picture in pictures)
        assert [len(picture.annotations) for picture in pictures] == [2, 2]
        assert not any(annotation.is_crowd for picture in pictures for annotation in picture.annotations)


def test_pictures_may_lie_in_a_folder_of_pictures(data, tmp_path):
    shutil.copytree(data / "coco" / "annotations", tmp_path / "annotations")
    shutil.copytree(data / "coco" / "val2017", tmp_path / "images" / "val2017")
    with coco_folder(tmp_path, 1) as folder:
        (picture,) = read_pictures(folder)
        assert picture.path == tmp_path / "images" / "val2017" / "001.png"


def edit_coco(data, folder, edit):
    shutil.copytree(data / "coco", folder)
    file = folder / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    return folder


def test_what_is_no_mask_is_left_out_and_told(data, tmp_path, capsys):
    def edit(content):
        content["annotations"][1]["segmentation"] = [[3, 4, 5, 6]]

    with coco_folder(edit_coco(data, tmp_path / "coco", edit), None) as folder:
        assert [len(picture.annotations) for picture in read_pictures(folder)] == [1, 2, 2]
    assert "instances_val2017.json: 1 annotations left out, such as annotation 2 in " in capsys.readouterr().err


def move_to_train(content):
    for image in content["images"][1:]:
        image["coco_url"] = f"http://images.cocodataset.org/train2017/{image['file_name']}"


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        pytest.param(move_to_train, r"2 of the 3 pictures of .* are missing, such as .*train2017/002\.png", id="train"),
        pytest.param(lambda content: content.pop("images"), "is not in COCO format: KeyError", id="no-pictures"),
        pytest.param(lambda content: content["images"].append(3), "is not in COCO format: TypeError", id="no-picture"),
        pytest.param(lambda content: content["images"][0].pop("height"), "KeyError 'height'", id="no-size"),
    ],
)
def test_data_that_are_not_whole_are_one_line(data, tmp_path, edit, says):
    folder = edit_coco(data, tmp_path / "coco", edit)
    with pytest.raises(DataError, match=says), coco_folder(folder, None):
        pass


def test_a_file_that_is_cut_off_is_one_line(data, tmp_path):
    shutil.copytree(data / "coco", tmp_path / "coco")
    (tmp_path / "coco" / "annotations" / "instances_val2017.json").write_text('{"images": [')
    with pytest.raises(DataError, match="is not valid JSON"), coco_folder(tmp_path / "coco", None):
        pass


@pytest.mark.parametrize("above", [pytest.param(0, id="data"), pytest.param(2, id="archive")])
def test_bsds_drawings_come_out_of_their_files(data, tmp_path, above):
    inside = ("", "data", "BSR/BSDS500/data")[above]
    shutil.copytree(data / "bsds", tmp_path / inside, dirs_exist_ok=True)
    with bsds_folder(tmp_path, None) as folder:
        scores = evaluate_detector(lambda image: OUTLINE.astype(np.float32), folder)
    assert (scores.num_pictures, scores.num_drawings) == (3, 6)
    assert scores.ods == 1


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(
            lambda root: (root / "groundTruth/test/200.mat").write_bytes(b"x" * 200), "200.mat holds no", id="garbage"
        ),
        pytest.param(lambda root: (root / "groundTruth/test/200.mat").write_bytes(b""), "200.mat holds no", id="empty"),
        pytest.param(lambda root: (root / "images/test/100.jpg").unlink(), "100.jpg is missing, though", id="picture"),
        pytest.param(lambda root: shutil.rmtree(root / "groundTruth"), "has no groundTruth/test", id="folder"),
    ],
)
def test_bsds_that_is_not_whole_is_one_line(data, tmp_path, damage, says):
    shutil.copytree(data / "bsds", tmp_path / "bsds")
    damage(tmp_path / "bsds")
    with pytest.raises(DataError, match=says), bsds_folder(tmp_path / "bsds", None):
        pass
