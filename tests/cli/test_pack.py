import pytest

from streamseg.cli.main import main
from streamseg.datasets.coco import read_images
from tests.support.training_runs import write_training_data

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path):
    return write_training_data(tmp_path / "data")


def pack(data, *arguments):
    out = data.parent / "packed"
    return main(["pack", str(data / "recipe.yaml"), "--data", str(data), "--out", str(out), *arguments])


def test_packed_recipe_trains(data, capsys):
    out = data.parent / "packed"
    assert pack(data, "--max-side", "40") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"wrote {out}: 1 images, 1 labels, 0.0 MB\n")
    assert f"streamseg train {out / 'recipe.yaml'} --data {out} --out RUN" in printed
    assert read_images(out / "things")[0].size == (30, 40)
    run = data.parent / "run"
    arguments = ["--data", str(out), "--out", str(run), "--workers", "0", "--set", "num_steps=1"]
    assert main(["train", str(out / "recipe.yaml"), *arguments]) == 0
    assert (run / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--max-side", "8"], "--max-side must be 32 to 16384, got 8", id="side"),
        pytest.param(["--quality", "101"], "--quality must be 1 to 100, got 101", id="quality"),
        pytest.param(["--data", "nowhere"], "is not a COCO-format folder", id="data"),
    ],
)
def test_mistakes_are_one_line(data, capsys, arguments, message):
    assert pack(data, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (data.parent / "packed").exists()
