import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import streamseg
from streamseg.cli.eval_protocols import PROTOCOLS
from streamseg.cli.main import main
from streamseg.weights import save_weights
from tests.support.data import data_folder
from tests.support.datasets import coco_folder, compressed
from tests.support.images import disc, rectangle
from tests.support.networks import blobs, lively_network
from tests.support.openvino import WITH_OPENVINO
from tests.support.sequences import moving, sequence_folder

pytestmark = pytest.mark.slow

SIZE = (96, 128)
MASKS = [disc(SIZE, 40, 40, 20), rectangle(SIZE, 70, 30, 110, 80)]
COCO_PROTOCOLS = ("proposals", "prompted", "boundary", "scores")
DATA = data_folder()  # before a test removes the variable
PLOTS = {
    "proposals": "proposals.png",
    "prompted": "prompted.png",
    "boundary": "boundary.png",
    "scores": "reliability.png",
}


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    return str(
        save_weights(lively_network("n", seed=1).state_dict(), tmp_path_factory.mktemp("weights") / "n.safetensors")
    )


@pytest.fixture
def evaluate(weights, monkeypatch):
    """Run the command with a small network; return the exit code."""
    monkeypatch.delenv("STREAMSEG_DATA", raising=False)

    def call(*flags):
        return main(["eval", *map(str, flags), "--weights", weights, "--engine", "torch", "--imgsz", "128"])

    return call


def folder_of(path, count=2, **options):
    labels = [{"segmentation": compressed(mask), "iscrowd": 0} for mask in MASKS]
    return coco_folder(path, [(blobs(SIZE, seed=seed), labels) for seed in range(count)], **options)


def only_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    return lines[-1] if len(lines) == 1 else lines


@pytest.mark.parametrize("protocol", COCO_PROTOCOLS)
def test_protocol_writes_table_plot_and_json(evaluate, tmp_path, capsys, protocol):
    target = tmp_path / "results" / "figures.json"
    assert evaluate(protocol, "--data", folder_of(tmp_path / "set"), "--out", tmp_path / "plots", "--json", target) == 0
    printed = capsys.readouterr().out
    assert "2 images" in printed
    assert f"wrote {tmp_path / 'plots' / PLOTS[protocol]}" in printed
    assert cv2.imread(str(tmp_path / "plots" / PLOTS[protocol])).shape[2] == 3
    written = json.loads(target.read_text(), parse_constant=pytest.fail)
    assert len(written["weights"]["sha256"]) == 64
    assert {"machine", "versions", "command", "measured"} <= written.keys()
    (content,) = written["protocols"].values()
    assert content["scores"]["num_pictures"] == 2
    assert content["settings"]["imgsz"] == 128
    assert content["engine"] == "torch"


def test_limit_and_settings_are_applied(evaluate, tmp_path, capsys):
    target = tmp_path / "figures.json"
    folder = folder_of(tmp_path / "set", count=3)
    assert evaluate("proposals", "--data", folder, "--limit", 1, "--conf", 0.6, "--max-det", 7, "--json", target) == 0
    assert "conf 0.6, iou 0.7, max_det 7" in capsys.readouterr().out
    written = json.loads(target.read_text())
    assert written["limit"] == 1
    scores = written["protocols"]["proposals"]["scores"]
    assert scores["num_pictures"] == 1
    assert scores["num_proposals"] <= 7


@pytest.mark.parametrize(
    ("flags", "iou"),
    [
        pytest.param(["proposals"], 0.85, id="ranked"),
        pytest.param(["proposals", "--scores", "raw"], 0.7, id="raw scores"),
        pytest.param(["proposals", "--iou", "0.6"], 0.6, id="chosen"),
        pytest.param(["proposals", "--iou", "0.7"], 0.7, id="chosen as elsewhere"),
        pytest.param(["boundary"], 0.7, id="another protocol"),
    ],
)
def test_proposals_that_are_ranked_suppress_less(tmp_path, capsys, flags, iou):
    words = [*flags, "--data", str(folder_of(tmp_path / "set", count=1)), "--engine", "torch", "--imgsz", "128"]
    assert main(["eval", *words]) == 0
    assert f"conf 0.001, iou {iou}, max_det 1000, engine torch;" in capsys.readouterr().out


def test_all_reports_missing_data_before_the_first_protocol_runs(evaluate, tmp_path, capsys):
    folder_of(tmp_path / "eval-coco")
    assert evaluate("all", "--data", tmp_path, "--json", tmp_path / "figures.json") == 2
    line = only_line(capsys)
    assert "has no folder eval-edges, eval-video; " in line
    assert "run proposals, prompted, boundary, scores, scene one by one, whose data is present" in line
    assert not (tmp_path / "figures.json").exists()


@pytest.mark.parametrize("named", [pytest.param(True, id="flag"), pytest.param(False, id="variable")])
def test_data_set_is_found_by_its_name_in_the_data_folder(evaluate, tmp_path, monkeypatch, capsys, named):
    folder_of(tmp_path / "eval-coco", count=1)
    if not named:
        monkeypatch.setenv("STREAMSEG_DATA", str(tmp_path))
    assert evaluate("scores", *(["--data", tmp_path] if named else [])) == 0
    assert "1 image" in capsys.readouterr().out


def test_scores_are_reproducible(evaluate, tmp_path):
    folder, figures = folder_of(tmp_path / "set"), []
    for name in ("a.json", "b.json"):
        assert evaluate("prompted", "--data", folder, "--json", tmp_path / name) == 0
        figures.append(json.loads((tmp_path / name).read_text())["protocols"]["prompted"]["scores"])
    assert figures[0] == figures[1]


@pytest.fixture
def recipe(tmp_path):
    folder_of(tmp_path / "data" / "a", count=4)
    (tmp_path / "recipe.yaml").write_text("hold_out: 2\nsources: [{path: a}]\n")
    return tmp_path / "recipe.yaml"


@pytest.mark.parametrize("protocol", COCO_PROTOCOLS)
def test_held_out_images_of_a_recipe(evaluate, recipe, tmp_path, protocol):
    data, target = ["--data", tmp_path / "data"], tmp_path / "figures.json"
    assert evaluate(protocol, "--held-out", recipe, *data, "--json", target) == 0
    content = json.loads(target.read_text())["protocols"][protocol]
    assert content["scores"]["num_pictures"] == 2
    assert content["held_out"] == str(recipe)
    assert evaluate(protocol, "--held-out", recipe, *data, "--limit", 1, "--json", target) == 0
    assert json.loads(target.read_text())["protocols"][protocol]["scores"]["num_pictures"] == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param(["all", "--held-out", "r"], "--held-out is for the protocols proposals, ", id="all"),
        pytest.param(["scene", "--held-out", "r"], "boundary, scores, got scene", id="no images"),
        pytest.param(["proposals", "--held-out-source", "x"], "needs --held-out RECIPE", id="source alone"),
        pytest.param(["proposals", "--held-out", "absent.yaml"], "absent.yaml", id="no recipe"),
    ],
)
def test_mistakes_about_held_out_images(evaluate, tmp_path, capsys, flags, message):
    assert evaluate(*flags, "--data", tmp_path) == 2
    assert message in only_line(capsys)


def test_missing_score_is_null_in_json_and_a_dash_in_tables(evaluate, tmp_path, capsys):
    folder = coco_folder(tmp_path / "set", [(blobs(SIZE), [])])
    assert evaluate("boundary", "--data", folder, "--json", tmp_path / "figures.json") == 0
    assert "–" in capsys.readouterr().out
    written = json.loads((tmp_path / "figures.json").read_text(), parse_constant=pytest.fail)
    assert written["protocols"]["boundary"]["scores"]["found"]["boundary_iou"] is None


def shrink_runs(content):
    first = content["annotations"][0]
    first["segmentation"] = first["segmentation"] | {"size": [9, 9]}


def leave_image(content):
    content["annotations"][0]["segmentation"] = [[100, 10, 150, 10, 150, 40]]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(lambda path: None, "is neither a folder nor a data.yaml", id="folder absent"),
        pytest.param(lambda path: path.mkdir(), "instances.json is missing", id="folder empty"),
        pytest.param(lambda path: coco_folder(path, []), "lists no image", id="data set empty"),
        pytest.param(lambda path: folder_of(path, edit=leave_image), "leaves the image", id="polygon outside"),
        pytest.param(lambda path: folder_of(path, edit=shrink_runs), "run lengths are for size [9, 9]", id="run size"),
        pytest.param(
            lambda path: (folder_of(path) / "images" / "002.png").unlink(), "002.png is missing", id="image missing"
        ),
        pytest.param(
            lambda path: (folder_of(path) / "images" / "001.png").write_bytes(b"no image"),
            "001.png is missing or unreadable",
            id="image broken",
        ),
        pytest.param(
            lambda path: (folder_of(path) / "instances.json").write_text("{"), "not valid JSON", id="JSON broken"
        ),
    ],
)
def test_unusable_data_is_one_line(evaluate, tmp_path, capsys, prepare, message):
    prepare(tmp_path / "set")
    assert evaluate("proposals", "--data", tmp_path / "set", "--strict") == 2
    assert message in only_line(capsys)


@pytest.mark.parametrize("protocol", COCO_PROTOCOLS)
def test_every_protocol_checks_its_data(evaluate, tmp_path, capsys, protocol):
    folder = folder_of(tmp_path / "set", edit=shrink_runs)
    assert evaluate(protocol, "--data", folder, "--strict") == 2
    assert "run lengths are for size [9, 9]" in only_line(capsys)
    assert evaluate(protocol, "--data", folder, "--json", tmp_path / "figures.json") == 0
    assert "1 annotation skipped" in capsys.readouterr().out
    written = json.loads((tmp_path / "figures.json").read_text())["protocols"][protocol]
    assert written["skipped"] == {"images": 0, "annotations": 1, "rings": 0}


def test_damaged_image_is_named_skipped_and_counted(evaluate, tmp_path, capsys, caplog):
    folder = folder_of(tmp_path / "set", count=3)
    content = (folder / "images" / "002.png").read_bytes()
    (folder / "images" / "002.png").write_bytes(content[: len(content) // 2])
    assert evaluate("proposals", "--data", folder) == 0
    printed = capsys.readouterr().out
    assert "4 objects in 2 images" in printed
    assert "1 image skipped" in printed
    assert "002.png" in caplog.text


def test_damaged_frame_of_a_sequence_is_named_skipped_and_counted(evaluate, tmp_path, capsys, caplog):
    folder = sequence_folder(tmp_path / "set", {"a": moving(4), "b": moving(4)})
    (folder / "a" / "images" / "00001.png").write_bytes(b"no image")
    assert evaluate("video", "--data", folder, "--json", tmp_path / "figures.json") == 0
    printed = capsys.readouterr().out
    assert "2 sequences, 7 frames" in printed
    assert "1 image skipped" in printed
    assert "00001.png" in caplog.text
    written = json.loads((tmp_path / "figures.json").read_text())["protocols"]["video"]
    assert written["skipped"] == {"images": 1, "annotations": 0, "rings": 0}
    assert evaluate("video", "--data", folder, "--strict") == 2
    assert "00001.png is not a readable image" in only_line(capsys)


def test_data_set_without_usable_image_is_an_error(evaluate, tmp_path, capsys):
    folder = folder_of(tmp_path / "set", count=1)
    (folder / "images" / "001.png").write_bytes(b"no image")
    assert evaluate("proposals", "--data", folder) == 2
    assert "none of the images of" in only_line(capsys)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param(["proposals"], "no data set given; use --data FOLDER", id="no data"),
        pytest.param(["proposals", "--limit", 0], "--limit must be 1 or more", id="limit 0"),
        pytest.param(
            ["all", "--data", "{set}"], "has no folder eval-coco, eval-edges, eval-video; ", id="one data set for all"
        ),
        pytest.param(["proposals", "--data", "{set}", "--conf", 2], "--conf", id="conf out of range"),
        pytest.param(["proposals", "--data", "{set}", "--out", "{set}/instances.json"], "cannot write", id="out"),
        pytest.param(["proposals", "--data", "{set}", "--json", "{set}/images"], "cannot write", id="json"),
    ],
)
def test_invalid_arguments_are_one_line(evaluate, tmp_path, capsys, flags, message):
    folder = folder_of(tmp_path / "set", count=1)
    code = evaluate(*[str(flag).replace("{set}", str(folder)) for flag in flags])
    assert code == 2
    assert message in np.atleast_1d(only_line(capsys))[-1]


def test_missing_weights_are_one_line(tmp_path, capsys):
    folder = folder_of(tmp_path / "set", count=1)
    assert main(["eval", "scores", "--data", str(folder), "--weights", str(tmp_path / "none.safetensors")]) == 2
    assert "no weights at" in only_line(capsys)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_thresholds_of_every_protocol_are_valid(name):
    protocol = PROTOCOLS[name]
    assert 0 <= protocol.conf < 1
    assert 0 <= protocol.iou <= (protocol.ranked_iou or 1) <= 1
    assert protocol.max_det >= 1


@pytest.mark.parametrize("protocol", COCO_PROTOCOLS)
def test_real_images(evaluate, tmp_path, protocol):
    if DATA is None:
        pytest.skip("no folder of data: set STREAMSEG_DATA")
    assert evaluate(protocol, "--data", DATA, "--limit", 2, "--json", tmp_path / "figures.json") == 0
    (content,) = json.loads((tmp_path / "figures.json").read_text())["protocols"].values()
    assert content["folder"].endswith("eval-coco")


def test_graph_with_stricter_suppression_than_a_live_run_is_evaluated(weights, tmp_path, capsys):
    graph = tmp_path / "n.onnx"
    inside = ["--conf", "0.4", "--iou", "0.6"]
    assert main(["export", "--weights", weights, "--imgsz", "128", "--nms", *inside, "--out", str(graph)]) == 0
    words = ["eval", "boundary", "--data", str(folder_of(tmp_path / "set", count=1)), "--weights", str(graph)]
    assert main([*words, "--imgsz", "128", *inside]) == 0
    assert "1 image" in capsys.readouterr().out


def test_proposals_of_a_graph_with_built_in_suppression_keep_its_threshold(tmp_path, capsys):
    graph = tmp_path / "default.onnx"
    assert main(["export", "--imgsz", "128", "--nms", "--conf", "0.4", "--out", str(graph)]) == 0
    words = ["eval", "proposals", "--data", str(folder_of(tmp_path / "set", count=1)), "--weights", str(graph)]
    assert main([*words, "--imgsz", "128", "--conf", "0.4"]) == 0
    assert "conf 0.4, iou 0.7" in capsys.readouterr().out


@WITH_OPENVINO
def test_computation_in_8_bits_is_reported(tmp_path, capsys):
    graph = Path(streamseg.__file__).parent / "assets" / "nanodet-int8.xml"
    words = ["eval", "boundary", "--data", str(folder_of(tmp_path / "set", count=1)), "--weights", str(graph)]
    assert main([*words, "--imgsz", "128"]) == 0
    assert ", engine openvino in 8 bits;" in capsys.readouterr().out
