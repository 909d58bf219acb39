"""The learning curve of consecutive runs."""

import json
import sys

import cv2
import pytest

from benchmarks.learning_curve import main, read_runs
from streamseg.cli.train import WEIGHTS
from streamseg.errors import DataError
from streamseg.training.step_log import append_line
from streamseg.training.trainer import LOSSES
from streamseg.weights import save_weights
from tests.support.datasets import coco_folder, coco_labels
from tests.support.images import disc, paint
from tests.support.networks import lively_network

LOSS = {"box": 1.0, "distribution": 2.0, "score": 3.0, "mask": 4.0}


def run_folder(folder, steps):
    folder.mkdir()
    for step in steps:
        append_line(folder / LOSSES, {"step": step, "losses": LOSS})
    save_weights(lively_network().state_dict(), folder / WEIGHTS)
    return folder


@pytest.mark.slow
def test_each_run_continues_the_one_before(tmp_path):
    folders = [run_folder(tmp_path / "a", [50, 100]), run_folder(tmp_path / "b", [50])]
    runs = read_runs(folders, batch_size=16)
    assert [run.num_drawn for run in runs] == [[800, 1600], [2400]]
    assert runs[1].losses == [LOSS]


@pytest.mark.parametrize("is_there", [pytest.param(True, id="no line"), pytest.param(False, id="no folder")])
def test_folder_without_a_log_is_rejected(tmp_path, is_there):
    if is_there:
        (tmp_path / "run").mkdir()
    with pytest.raises(DataError, match=r"run contains no losses\.jsonl"):
        read_runs([tmp_path / "run"], batch_size=16)


@pytest.mark.slow
def test_results_of_every_run_and_an_image(tmp_path, monkeypatch, capsys):
    mask = disc((64, 96), 30, 30, 18)
    coco_folder(tmp_path / "eval-coco", [(paint([mask], [(200, 9, 9)], (64, 96)), coco_labels([mask]))])
    folders = [str(run_folder(tmp_path / name, [50, 100])) for name in ("a", "b")]
    json_file, image = tmp_path / "curve.json", tmp_path / "figures" / "curve.png"
    options = ["--imgsz", "64", "--data", str(tmp_path), "--json", str(json_file), "--image", str(image)]
    monkeypatch.setattr(sys, "argv", ["learning_curve", *folders, *options])
    assert main() == 0
    rows = json.loads(json_file.read_text())["runs"]
    assert [row["name"] for row in rows] == ["a", "b"]
    assert all(0 <= row["mask AR@100"] <= row["mask AR@1000"] <= 1 for row in rows)
    assert cv2.imread(str(image)).shape[1] > 800
    assert "b: 3200 images drawn" in capsys.readouterr().out


def test_missing_folder_is_a_one_line_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["learning_curve", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "contains no losses.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--image", "--picture"])
def test_unwritable_image_is_a_one_line_error_before_anything_is_read(tmp_path, flag, monkeypatch, capsys):
    (tmp_path / "file").touch()
    image = tmp_path / "file" / "curve.png"
    monkeypatch.setattr(sys, "argv", ["learning_curve", str(tmp_path / "nothing"), flag, str(image)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert f"cannot write {image}" in capsys.readouterr().err.splitlines()[-1]
