import pytest
import torch

from streamseg.cli.main import main
from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from streamseg.modeling.refiner import REFINER_PREFIX, Refiner
from streamseg.weights import load_weights, save_weights
from tests.support.networks import lively_network

pytestmark = pytest.mark.slow


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "scene.yaml"
    path.write_text("scene_weight: 1.0\n")
    return path


@pytest.fixture
def weights(tmp_path):
    network = build_nanodet(NanoDetConfig(prototype_channels=8, mask_channels=8), seed=0)
    refiner = {REFINER_PREFIX + name: tensor for name, tensor in Refiner(32).state_dict().items()}
    path = tmp_path / "n.safetensors"
    return save_weights(network.state_dict() | refiner, path, metadata={"imgsz": "160"}, half=True)


def test_branch_is_stored_beside_the_weights(recipe, weights, tmp_path, capsys):
    out = tmp_path / "embedded.safetensors"
    options = ["--pairs", "10", "--epochs", "0.5", "--channels", "8", "--threads", "1"]
    assert main(["embed", str(recipe), "--weights", str(weights), "--out", str(out), *options]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {out}; on held-out pairs, a cell matches its own object")
    before, after = load_weights(weights), load_weights(out)
    assert after.network().config.embedding_channels == 8
    assert after.refiner() is not None
    assert {tensor.dtype for name, tensor in after.state_dict.items() if "embedding" in name} == {torch.float16}
    assert all(torch.equal(after.state_dict[name], tensor) for name, tensor in before.state_dict.items())
    assert after.metadata["embedded_weights_sha256"] == before.sha256
    assert after.metadata["imgsz"] == "160"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--pairs", "3"], "num_pairs is 3; it must be at least 10", id="pairs"),
        pytest.param(["--channels", "1"], "channels is 1; it must be 4 to 256", id="channels"),
        pytest.param(["--threads", "0"], "--threads must be at least 1, got 0", id="threads"),
        pytest.param(["--out", "a.pt"], "--out must be a .safetensors file, got a.pt", id="out"),
        pytest.param(["--weights", "yolo"], "require a NanoDet-seg network, got yolov8", id="architecture"),
    ],
)
def test_mistakes_are_one_line(recipe, weights, tmp_path, capsys, options, message):
    if options == ["--weights", "yolo"]:
        options = ["--weights", str(save_weights(lively_network().state_dict(), tmp_path / "y.safetensors"))]
    out = tmp_path / "embedded.safetensors"
    assert main(["embed", str(recipe), "--weights", str(weights), "--out", str(out), *options]) == 2
    captured = capsys.readouterr().err
    assert message in captured
    assert captured.count("\n") == 1
    assert not out.exists()
