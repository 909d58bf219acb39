"""The paper's tables on data sets of a few drawn images."""

import json
import shutil
import sys

import numpy as np
import pytest

from benchmarks.paper.data_sets import coco_folder
from benchmarks.reproduce_paper import main
from streamseg.evaluation.prompted import evaluate_prompted
from streamseg.evaluation.proposals import evaluate_proposals
from streamseg.segmentation import Segmenter
from streamseg.weights import save_weights
from tests.support.networks import lively_network
from tests.support.published import published


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return published(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "lively.safetensors"
    save_weights(lively_network().state_dict(), path)
    return path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["reproduce_paper", *map(str, arguments)])
    return main()


@pytest.mark.slow
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
    # No object is large, so there is no recall of large objects.
    figures = {(row["table"][0], row["figure"]): row["here"] for row in rows if row["table"][0] != "1"}
    assert {place for place, here in figures.items() if np.isnan(here)} == {("4", "large"), ("5", "large")}
    assert all(np.isnan(here) or 0 <= here <= 1 for here in figures.values())
    assert all(row["here"] > 0 for row in rows if row["table"][0] == "1")
    printed = capsys.readouterr()
    assert "the first 2 images only" in printed.out
    assert "paper  reference     here" in printed.out
    assert "skipped" not in printed.err


@pytest.mark.slow
def test_figures_equal_the_evaluation(data, weights, tmp_path, monkeypatch):
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


@pytest.mark.slow
def test_missing_data_sets_are_reported_before_anything_is_measured(weights, tmp_path, monkeypatch, capsys):
    arguments = ["--weights", weights, "--imgsz", 96, "--runs", 1, "--device", "cpu"]
    assert run(monkeypatch, *arguments, "--coco", tmp_path, "--bsds", tmp_path / "nowhere") == 0
    printed = capsys.readouterr()
    assert [line.partition(";")[0] for line in printed.err.splitlines() if "skipped" in line] == [
        f"table 2 skipped: --bsds {tmp_path / 'nowhere'} is not a folder",
        f"table 3, labelled boxes of COCO skipped: {tmp_path} contains neither val2017/ nor images/val2017/",
        "tables 4 and 5, labelled boxes of LVIS skipped: --lvis is not set",
    ]
    assert "fetch COCO val2017: http://images.cocodataset.org/zips/val2017.zip" in printed.err
    assert "1 speed, ms" in printed.out


def test_nothing_to_measure_is_a_failure(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--weights", "default", "--coco", tmp_path, "--only", "coco", "edges") == 2
    assert len([line for line in capsys.readouterr().err.splitlines() if "skipped" in line]) == 2


@pytest.mark.slow
def test_failing_table_does_not_affect_the_others(data, weights, tmp_path, monkeypatch, capsys):
    shutil.copytree(data / "coco", tmp_path / "coco")
    (tmp_path / "coco" / "val2017" / "002.png").write_bytes(b"cut off")
    arguments = ["--weights", weights, "--imgsz", 96, "--device", "cpu", "--json", tmp_path / "paper.json"]
    assert run(monkeypatch, *arguments, "--coco", tmp_path / "coco", "--bsds", data / "bsds", "--only", "coco", "edges")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "failed" in line]
    assert line.startswith(f"table 3 failed: image {tmp_path / 'coco' / 'val2017' / '002.png'} is missing or unread")
    assert {row["table"][0] for row in json.loads((tmp_path / "paper.json").read_text())["rows"]} == {"2"}


@pytest.mark.parametrize("flags", [["--limit", 0], ["--runs", "few"], ["--only", "everything"]], ids=str)
def test_invalid_flags(flags, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, *flags)
    assert flags[0] in capsys.readouterr().err


def test_missing_weights(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--weights", tmp_path / "none.pt", "--only", "speed") == 2
    assert "reproduce_paper: no weights at" in capsys.readouterr().err


def test_unwritable_results_are_reported_first(data, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, "--weights", "default", "--json", data / "coco" / "val2017" / "001.png" / "a.json")
    assert stopped.value.code == 2
    assert "reproduce_paper: error: argument --json: cannot write" in capsys.readouterr().err
