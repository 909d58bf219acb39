import contextlib
import io
import json
from dataclasses import replace

import pytest
import torch

from streamseg.cli.main import main
from streamseg.modeling.refiner import REFINER_PREFIX
from streamseg.modeling.yolov8 import YoloV8Config, YoloV8Network, build_yolov8
from streamseg.training.checkpoint import load_checkpoint
from streamseg.weights import load_weights, save_weights
from tests.support.paths import REPOSITORY
from tests.support.refiners import trained_refiner
from tests.support.training_runs import train, write_training_data

pytestmark = pytest.mark.slow

REPO = REPOSITORY


@pytest.fixture
def data(tmp_path):
    """Data folder with a recipe in it."""
    return write_training_data(tmp_path / "data")


def test_run_ends_with_weights(data, capsys):
    assert train(data, workers=1) == 0
    out = data.parent / "run"
    assert {file.name for file in out.iterdir()} == {"last.ckpt", "losses.jsonl", "curves.png", "weights.safetensors"}
    captured = capsys.readouterr()
    assert captured.out == f"wrote {out / 'weights.safetensors'} after 2 steps\n"
    assert "2/2  box " in captured.err
    assert "\r" not in captured.err

    weights = load_weights(out / "weights.safetensors")
    assert weights.metadata == {"recipe": "recipe.yaml", "steps": "2", "size": "n", "imgsz": "96"}
    average = load_checkpoint(out / "last.ckpt")["average"]
    assert weights.state_dict.keys() == average.keys()
    for name, tensor in weights.state_dict.items():
        expected = average[name]
        assert torch.equal(tensor, expected.half() if expected.is_floating_point() else expected), name
    assert weights.network().config.num_classes == 1


def test_run_is_stopped_and_resumed(data, capsys):
    out = data.parent / "run"
    assert train(data, "--stop-after", "0") == 0
    assert capsys.readouterr().out == "stopped at step 1 of 2; continue with --resume\n"
    assert not (out / "weights.safetensors").exists()
    assert train(data, "--resume") == 0
    assert capsys.readouterr().out.endswith("after 2 steps\n")
    assert load_checkpoint(out / "last.ckpt")["step"] == 2
    assert train(data, "--resume") == 0  # only the weights are left to write
    assert train(data, "--resume", "--set", "num_steps=3") == 0
    assert capsys.readouterr().out.endswith("after 3 steps\n")
    assert [json.loads(line)["step"] for line in (out / "losses.jsonl").read_text().splitlines()] == [2, 3]


def test_settings_of_the_command_line_override_the_recipe(data, capsys):
    changes = ("num_steps=1", "half=false", "compose.mosaic=0", "compose={paste: 0}", "learning_rate=1e-3")
    assert train(data, *(word for change in changes for word in ("--set", change))) == 0
    settings = json.loads(load_checkpoint(data.parent / "run" / "last.ckpt")["settings"])
    assert (settings["num_steps"], settings["half"], settings["learning_rate"]) == (1, False, 0.001)
    assert (settings["compose"]["mosaic"], settings["compose"]["paste"]) == (0, 0)
    assert settings["sizes"] == [32]


def test_run_is_evaluated_on_the_way(data, capsys):
    out = data.parent / "run"
    arguments = ["--eval", str(data / "things"), "--eval-every", "2", "--eval-limit", "1", "--set", "num_steps=3"]
    assert train(data, *arguments) == 0
    lines = [json.loads(line) for line in (out / "evaluations.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3]
    for line in lines:
        assert line["scores"].keys() == {"mask AR@100", "box AR@1000", "mask AP50"}
        assert all(0 <= value <= 1 for value in line["scores"].values())


def test_evaluation_does_not_change_the_training(data):
    plain = ["--set", "half=false"]
    assert train(data, *plain) == 0
    (data.parent / "run").rename(data.parent / "first")
    assert train(data, *plain, "--eval", str(data / "things"), "--eval-every", "1") == 0
    first, second = (load_weights(data.parent / name / "weights.safetensors").state_dict for name in ("first", "run"))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


# ---- fine-tuning


def weights_of(folder, network, **metadata):
    return str(save_weights(network.state_dict(), folder / "start.safetensors", metadata=metadata))


SHORT = "sources: [{path: things}]\nsettings: {num_steps: 1, batch_size: 2, sizes: [32]}"


@pytest.mark.parametrize("size", ["n", "s"])
def test_weights_determine_the_size(data, size):
    (data / "recipe.yaml").write_text(SHORT)
    start = weights_of(data, build_yolov8(size, reg_max=26, seed=0), sppf_activation="false")
    assert train(data, "--weights", start) == 0
    weights = load_weights(data.parent / "run" / "weights.safetensors")
    assert weights.metadata["size"] == size
    assert weights.metadata["started_from_sha256"] == load_weights(start).sha256
    config = weights.network().config
    assert (config.reg_max, config.sppf_activation) == (26, False)
    assert config.channels == build_yolov8(size).config.channels
    assert train(data, "--weights", start, "--resume", "--set", "num_steps=2") == 0


def test_fine_tuning_keeps_the_refiner_and_says_how_to_fit_it_again(data, capsys):
    (data / "recipe.yaml").write_text(SHORT)
    network = build_yolov8("n", seed=0)
    refiner = {REFINER_PREFIX + name: tensor for name, tensor in trained_refiner().state_dict().items()}
    start = save_weights({**network.state_dict(), **refiner}, data / "start.safetensors", metadata={"imgsz": "64"})
    assert train(data, "--weights", str(start)) == 0
    run = data.parent / "run"
    files = f"--weights {run / 'weights.safetensors'} --earlier {start} --out {run / 'refined.safetensors'}"
    command = f"streamseg refine {data / 'recipe.yaml'} --data {data} {files}"
    # An untrained network finds nothing to measure on.
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"the refiner is kept; whether it fits could not be measured. Fit it again with: {command}"
    ]
    weights = load_weights(run / "weights.safetensors")
    assert weights.metadata["imgsz"] == "64"
    assert weights.refiner() is not None
    assert main(["weights", "info", str(run / "weights.safetensors")]) == 0
    assert "imgsz: 64" in capsys.readouterr().out


def test_size_that_differs_from_the_weights_is_rejected(data, capsys):
    (data / "recipe.yaml").write_text(SHORT)
    start = weights_of(data, build_yolov8("s", seed=0))
    assert train(data, "--weights", start, "--set", "size=n") == 2
    assert capsys.readouterr().err == (
        f"streamseg: the settings require a network of size n, but {start} has size s; omit size, or start from other"
        " weights\n"
    )
    (data / "recipe.yaml").write_text(SHORT.replace("num_steps: 1", "num_steps: 1, size: m"))
    assert train(data, "--weights", start) == 2
    assert "of size m, but" in capsys.readouterr().err
    assert train(data, "--weights", start, "--set", "size=s", "--stop-after", "0") == 0


def test_network_of_custom_size_is_rejected(data, capsys):
    config = replace(YoloV8Config.of_size("n"), prototype_channels=40)
    start = weights_of(data, YoloV8Network(config))
    assert train(data, "--weights", start) == 2
    assert "has none of the network sizes n, s, m, l, x, nanodet" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_redrawn_on_a_terminal(data, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    terminal = Terminal()
    with contextlib.redirect_stderr(terminal):
        assert train(data) == 0
    assert "━" in terminal.getvalue(), "a bar"
    assert terminal.getvalue().partition("\n")[0].endswith("images/s")
    assert terminal.getvalue().count("\n") == 1


def test_existing_run_is_not_overwritten(data, capsys):
    out = data.parent / "run"
    out.mkdir()
    (out / "last.ckpt").write_text("mine")
    assert train(data) == 2
    assert capsys.readouterr().err == (
        f"streamseg: {out} already contains a run; add --resume to continue it, or choose another folder\n"
    )
    assert [file.read_text() for file in out.iterdir()] == ["mine"]


# ---- mistakes: one line, exit code 2, nothing written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--set", "num_stpes=3"], "unknown setting 'num_stpes'; did you mean 'num_steps'?", id="misspelt"),
        pytest.param(["--set", "zzz=3"], "unknown setting 'zzz'; available: size, num_steps, batch_size", id="unknown"),
        pytest.param(["--set", "compose.mosiac=1"], "did you mean 'compose.mosaic'?", id="misspelt-inside"),
        pytest.param(
            ["--set", "compose={zzz: 1}"], "unknown setting 'compose.zzz'; available: mosaic", id="unknown-inside"
        ),
        pytest.param(
            ["--set", "compose=3"], "setting compose must be a mapping of keys to values, got 3", id="compose-a-number"
        ),
        pytest.param(["--set", "num_steps"], "--set needs key=value, got 'num_steps'", id="no-value"),
        pytest.param(["--set", "sizes=[32"], "--set sizes: '[32' is not a YAML value", id="no-yaml"),
        pytest.param(
            ["--set", "num_steps=many"], "settings: num_steps: Input should be a valid integer", id="no-number"
        ),
        pytest.param(["--set", "sizes=[100]"], "settings: sizes is (100,); it must be one or more", id="no-multiple"),
        pytest.param(
            ["--set", "compose.mosaic=2"], "compose.mosaic is 2.0; it must be from 0 to 1", id="no-probability"
        ),
        pytest.param(
            ["--set", "size=q"], "settings: size: Input should be 'n', 's', 'm', 'l', 'x' or 'nanodet'", id="no-size"
        ),
        pytest.param(["--device", "cuda:99"], "device 'cuda:99' is not available; available: cpu", id="no-device"),
        pytest.param(["--device", "99"], "device 'cuda:99' is not available", id="number-of-a-device"),
        pytest.param(["--device", "tpu"], "device 'tpu' is not available; available: cpu", id="unknown-device"),
        pytest.param(["--resume"], "there is no checkpoint", id="nothing-to-resume"),
        pytest.param(["--data", "nowhere"], "nowhere/things is not a COCO-format folder", id="no-data"),
    ],
)
def test_mistakes_are_one_line(data, capsys, arguments, message):
    assert train(data, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("streamseg: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not (data.parent / "run").exists()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        pytest.param(
            "sources: [{path: things}]\nsettings: {num_stpes: 1}", "unknown setting 'num_stpes'", id="setting"
        ),
        pytest.param("sources: [{path: things}]\nsettings: {3: 1}", "settings.3", id="setting-no-text"),
        pytest.param("sources: []", "training requires sources", id="no-sources"),
        pytest.param("sauces: []", "sauces: unknown key", id="unknown-key"),
        pytest.param("sources: [{path: things, source: x}]", "has no image with source 'x'", id="unknown-source"),
        pytest.param(None, "cannot read the recipe", id="missing"),
    ],
)
def test_invalid_recipe_is_one_line(data, capsys, recipe, message):
    if recipe is not None:
        (data / "other.yaml").write_text(recipe)
    assert train(data, recipe="other.yaml") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (data.parent / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--threads", "0"], "must be an integer of at least 1, got '0'", id="no-threads"),
        pytest.param(["--threads", "two"], "must be an integer of at least 1, got 'two'", id="threads-in-words"),
        pytest.param(["--workers", "-1"], "must be an integer of at least 0, got '-1'", id="workers-negative"),
        pytest.param(["--stop-after", "soon"], "invalid float value: 'soon'", id="time-in-words"),
    ],
)
def test_invalid_option_is_one_line(data, capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        train(data, *arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_output_that_is_a_file_is_rejected(data, capsys):
    (data.parent / "run").write_text("")
    assert train(data) == 2
    assert "cannot write to the folder" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_image_is_one_line(data, capsys, workers):
    (data / "things" / "images" / "001.png").write_bytes(b"no image")
    assert train(data, workers=workers) == 2
    error = capsys.readouterr().err
    assert "001.png is missing or unreadable" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("recipe", sorted(REPO.glob("configs/train-*.yaml")), ids=lambda path: path.name)
def test_recipes_of_the_repository_are_valid(tmp_path, capsys, recipe):
    """Settings are checked before the data, which is missing."""
    assert main(["train", str(recipe), "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "is not a COCO-format folder" in capsys.readouterr().err
