"""Data sets without a recipe: `train`, `eval`, `pack` and `label` take them by their path."""

import json

import pytest
import torch

from streamseg.cli.main import main
from streamseg.weights import load_weights, save_weights
from tests.support.networks import lively_network
from tests.support.yolo_data import box_image, yolo_data_set

pytestmark = pytest.mark.slow

SIZE = (60, 80)
TINY = ("num_steps=20", "batch_size=2", "sizes=[32]", "num_warmup_steps=2", "half=false")


@pytest.fixture
def data(tmp_path):
    """A data set like coco8-seg: 4 images for training, 4 for validation; return its description."""
    rows = [[box_image(SIZE, 10 * k, 5 + k, 10 * k + 30, 45 + k) for k in range(4)] for _ in range(2)]
    return yolo_data_set(tmp_path, {"train": rows[0], "val": [*rows[1][:3], (rows[1][3][0], None)]})


def train(data, out, *flags, settings=TINY):
    overrides = [word for setting in settings for word in ("--set", setting)]
    return main(["train", str(data), "--out", str(out), "--workers", "0", *overrides, *flags])


def test_yolo_data_set_is_trained_on_and_evaluated(data, tmp_path, capsys):
    out, scores = tmp_path / "run", tmp_path / "scores.json"
    assert train(data, out, "--eval", str(data), "--eval-every", "10") == 0
    assert capsys.readouterr().out == f"wrote {out / 'weights.safetensors'} after 20 steps\n"
    lines = [json.loads(line) for line in (out / "evaluations.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20]
    assert load_weights(out / "weights.safetensors").metadata["recipe"] == "coco8-seg.yaml"

    network = ["--weights", str(out / "weights.safetensors"), "--imgsz", "96", "--engine", "torch"]
    for protocol in ("proposals", "prompted", "boundary", "scores"):
        assert main(["eval", protocol, "--data", str(data), "--json", str(scores), *network]) == 0
        figures = json.loads(scores.read_text())["protocols"][protocol]
        assert figures["scores"]["num_pictures"] == 4, "the split val"
        assert figures["skipped"] == {"images": 0, "annotations": 0, "rings": 0}
    assert "3 objects in 4 images" in capsys.readouterr().out


def test_training_on_the_folder_is_the_same(data, tmp_path):
    for path, out in ((data, "file"), (tmp_path, "folder")):
        assert train(path, tmp_path / out, settings=("num_steps=2", *TINY[1:])) == 0
    states = [load_weights(tmp_path / out / "weights.safetensors").state_dict for out in ("file", "folder")]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_problems_are_named_before_the_first_step(data, tmp_path, capsys, caplog):
    labels = tmp_path / "coco8-seg/labels/train/000000000002.txt"
    labels.write_text(labels.read_text() + "\n2 0.5 0.5 3 0.1 0.2 0.2\nx 1 2")
    assert train(data, tmp_path / "strict", "--strict") == 2
    messages = capsys.readouterr().err.strip().splitlines()
    assert [line.rpartition("/")[2].partition(": ")[0] for line in messages] == [
        "000000000002.txt, line 2",
        "000000000002.txt, line 3",
    ]
    assert not (tmp_path / "strict").exists()
    assert train(data, tmp_path / "run", settings=("num_steps=2", *TINY[1:])) == 0
    assert "2 annotations skipped" in capsys.readouterr().out
    assert "line 3" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["train", "gone.yaml", "--out", "run"], "it does not exist", id="missing-description"),
        pytest.param(["train", "empty", "--out", "run"], "is a folder without a data set", id="empty-folder"),
        pytest.param(["train", "nodata.yaml", "--out", "run"], "images/train does not exist in", id="missing-data"),
        pytest.param(["eval", "proposals", "--data", "nodata.yaml"], "images/val does not exist in", id="eval"),
        pytest.param(["eval", "proposals", "--data", "train.yaml"], "has no images for val; add the", id="no-val"),
        pytest.param(["eval", "proposals", "--data", "note.txt"], "neither a folder nor a data.yaml", id="eval-text"),
        pytest.param(["eval", "all", "--data", "coco8-seg.yaml"], "to run all protocols, give a folder", id="eval-all"),
        pytest.param(["eval", "edges", "--data", "coco8-seg.yaml"], "is not a COCO-format folder", id="edges"),
        pytest.param(["label", "coco8-seg.yaml", "--out", "new"], "label needs this format", id="label"),
    ],
)
def test_unusable_data_is_one_line(data, tmp_path, monkeypatch, capsys, arguments, message):
    weights = save_weights(lively_network("n", seed=1).state_dict(), tmp_path / "n.safetensors")
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("note")
    (tmp_path / "nodata.yaml").write_text(data.read_text().replace("path: coco8-seg", "path: gone"))
    (tmp_path / "train.yaml").write_text("train: coco8-seg/images/train\nnames: [a]")
    monkeypatch.chdir(tmp_path)
    network = [] if arguments[0] == "train" else ["--weights", str(weights), "--engine", "torch", "--imgsz", "64"]
    assert main([*arguments, *network]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "new").exists()


def test_yolo_data_set_is_packed(data, tmp_path, capsys):
    assert main(["pack", str(data), "--out", str(tmp_path / "packed")]) == 0
    assert "4 images, 4 labels" in capsys.readouterr().out
    assert train(tmp_path / "packed" / "coco8-seg", tmp_path / "run", settings=("num_steps=1", *TINY[1:])) == 0
