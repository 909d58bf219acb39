import pytest
import torch

from streamseg.cli.main import main
from streamseg.weights import load_weights, save_weights
from tests.support.datasets import coco_folder, compressed
from tests.support.images import paint
from tests.support.networks import lively_network
from tests.support.training_runs import DATA_MASK, DATA_SIZE

pytestmark = pytest.mark.slow


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "scene.yaml"
    path.write_text("scene_weight: 1.0\n")
    return path


def test_refiner_is_stored_beside_the_weights(recipe, tmp_path, capsys):
    weights = save_weights(
        lively_network(share_above_half=0.3).state_dict(), tmp_path / "n.safetensors", metadata={"imgsz": "160"}
    )
    out = tmp_path / "refined.safetensors"
    arguments = ["refine", str(recipe), "--weights", str(weights), "--out", str(out), "--images", "12"]
    assert main([*arguments, "--epochs", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"wrote {out}; on ")
    before, after = load_weights(weights), load_weights(out)
    assert after.refiner() is not None
    for name, tensor in before.state_dict.items():
        assert torch.equal(after.state_dict[name], tensor)
    assert after.metadata["refined_weights_sha256"] == before.sha256
    assert after.metadata["imgsz"] == "160"


def test_training_continues_from_the_refiner_of_the_weights(recipe, tmp_path):
    weights = save_weights(
        lively_network(share_above_half=0.3).state_dict(), tmp_path / "n.safetensors", metadata={"imgsz": "160"}
    )
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    common = ["--images", "12", "--epochs", "0.1"]
    assert main(["refine", str(recipe), "--weights", str(weights), "--out", str(first), *common]) == 0
    assert main(["refine", str(recipe), "--weights", str(first), "--continue", "--out", str(second), *common]) == 0
    before, after = load_weights(first), load_weights(second)
    assert after.metadata["refined_from_sha256"] == before.sha256
    # A step or two from there, where random weights would be elsewhere.
    name = "refiner.blocks.0.around.weight"
    assert torch.allclose(after.state_dict[name], before.state_dict[name], atol=0.05)
    assert not torch.equal(after.state_dict[name], before.state_dict[name])


def test_weights_without_a_refiner_cannot_be_continued(recipe, tmp_path, capsys):
    weights = save_weights(lively_network().state_dict(), tmp_path / "n.safetensors", metadata={"imgsz": "160"})
    out = tmp_path / "refined.safetensors"
    arguments = ["refine", str(recipe), "--weights", str(weights), "--continue", "--out", str(out)]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "--continue needs a refiner" in line
    assert not out.exists()


def test_earlier_weights_are_recorded_in_the_metadata(recipe, tmp_path):
    paths = [
        save_weights(
            lively_network(seed=seed, share_above_half=0.3).state_dict(),
            tmp_path / f"{seed}.safetensors",
            metadata={"imgsz": "160"},
        )
        for seed in (0, 1)
    ]
    out = tmp_path / "refined.safetensors"
    arguments = ["refine", str(recipe), "--weights", str(paths[0]), "--earlier", str(paths[1]), "--out", str(out)]
    assert main([*arguments, "--pictures", "12", "--epochs", "0.1"]) == 0
    assert load_weights(out).metadata["refined_earlier_sha256"] == load_weights(paths[1]).sha256


def test_earlier_weights_of_another_shape_are_rejected(recipe, tmp_path, capsys):
    other = save_weights(lively_network(size="s").state_dict(), tmp_path / "s.safetensors")
    out = tmp_path / "refined.safetensors"
    assert main(["refine", str(recipe), "--earlier", str(other), "--out", str(out)]) == 2
    assert "another network shape than default" in capsys.readouterr().err
    assert not out.exists()


@pytest.fixture
def spoilt(tmp_path):
    """A recipe for images of which one is cut and another has an unusable annotation."""
    image, valid = paint([DATA_MASK], [(200, 30, 30)], DATA_SIZE), {"segmentation": compressed(DATA_MASK)}
    folder = coco_folder(tmp_path / "things", [(image, [valid]), (image, [valid, {"segmentation": [[1, 1, 9, 9]]}])])
    cut = folder / "images" / "001.png"
    cut.write_bytes(cut.read_bytes()[:-200])
    (tmp_path / "things.yaml").write_text("sources: [{path: things}]\n")
    return tmp_path / "things.yaml"


def test_unusable_data_are_named_skipped_and_counted(spoilt, tmp_path, capsys, caplog):
    weights = save_weights(
        lively_network(share_above_half=0.3).state_dict(), tmp_path / "n.safetensors", metadata={"imgsz": "160"}
    )
    out = tmp_path / "refined.safetensors"
    arguments = ["refine", str(spoilt), "--data", str(tmp_path), "--weights", str(weights), "--out", str(out)]
    assert main([*arguments, "--images", "16", "--epochs", "0.1"]) == 0
    printed = capsys.readouterr().out
    assert "1 annotation skipped" in printed
    assert "1 image, 1 annotation skipped" in printed
    assert "is not a readable image" in caplog.text
    assert load_weights(out).refiner() is not None


def test_strict_refuses_unusable_data_before_anything_is_read(spoilt, tmp_path, capsys):
    out = tmp_path / "refined.safetensors"
    arguments = ["refine", str(spoilt), "--data", str(tmp_path), "--weights", "gone.safetensors"]
    assert main([*arguments, "--out", str(out), "--strict"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "instances.json" in line
    assert "annotation" in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"--out": "refined.onnx"}, "--out must be a .safetensors file", id="another format"),
        pytest.param({"--pictures": "9"}, "--images must be at least 10, got 9", id="too few images"),
        pytest.param({"--epochs": "-1"}, "--epochs must be at least 0, got -1", id="epochs"),
        pytest.param({"--threads": "0"}, "--threads must be at least 1, got 0", id="threads"),
        pytest.param({"--weights": "nowhere.safetensors"}, "nowhere.safetensors", id="no weights"),
        pytest.param({"--earlier": "gone.safetensors"}, "gone.safetensors", id="no earlier weights"),
    ],
)
def test_mistakes_are_one_line(change, message, recipe, tmp_path, capsys):
    options = {"--out": str(tmp_path / "refined.safetensors"), **change}
    arguments = ["refine", str(recipe), *(part for option in options.items() for part in option)]
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "refined.safetensors").exists()
