import pytest

from streamseg.cli.main import main
from streamseg.datasets.coco import read_images
from tests.support.datasets import coco_folder, compressed
from tests.support.images import paint
from tests.support.training_runs import DATA_MASK, DATA_SIZE, write_training_data

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
    assert printed.startswith(f"wrote {out}: 1 image, 1 label, 0.0 MB\n")
    assert f"streamseg train {out / 'recipe.yaml'} --data {out} --out RUN" in printed
    assert read_images(out / "things")[0].size == (30, 40)
    run = data.parent / "run"
    arguments = ["--data", str(out), "--out", str(run), "--workers", "0", "--set", "num_steps=1"]
    assert main(["train", str(out / "recipe.yaml"), *arguments]) == 0
    assert (run / "weights.safetensors").exists()


def test_unusable_images_and_annotations_are_skipped(data, capsys):
    image = paint([DATA_MASK], [(200, 30, 30)], DATA_SIZE)
    valid, empty = {"segmentation": compressed(DATA_MASK)}, {"segmentation": []}
    folder = coco_folder(data / "things", [(image, [valid, empty]), (image, [valid]), (image, [valid])])
    (folder / "images" / "002.png").unlink()
    content = (folder / "images" / "003.png").read_bytes()
    (folder / "images" / "003.png").write_bytes(content[: len(content) // 2])
    assert pack(data, "--strict") == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert pack(data) == 0
    printed = capsys.readouterr().out
    assert "2 images, 1 annotation skipped" in printed
    assert ": 1 image, 1 label" in printed


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
