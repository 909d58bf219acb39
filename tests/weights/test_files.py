import hashlib

import pytest
import torch
from safetensors.torch import save_file

from streamseg.errors import WeightsError
from streamseg.weights import load_weights, save_weights, write_atomically
from tests.support.networks import lively_network


@pytest.fixture(scope="module")
def network():
    return lively_network()


@pytest.fixture
def saved(network, tmp_path):
    return save_weights(network.state_dict(), tmp_path / "n.safetensors", metadata={"recipe": "none"})


@pytest.mark.slow
def test_save_and_load(network, saved):
    weights = load_weights(str(saved))
    assert weights.metadata == {"recipe": "none"}
    assert weights.path == saved
    assert weights.sha256 == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert weights.state_dict.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(weights.state_dict[name], tensor), name
    assert weights.network().config == network.config


@pytest.mark.slow
def test_half_precision_halves_the_file_size(network, saved, tmp_path):
    half = save_weights(network.state_dict(), tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.52 * saved.stat().st_size
    assert load_weights(half).metadata == {}
    loaded = load_weights(half).network().state_dict()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(loaded[name], tensor, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_saving_creates_folders_and_replaces_files(network, tmp_path):
    path = tmp_path / "deep" / "n.safetensors"
    for recipe in ("first", "second"):
        save_weights(network.state_dict(), path, metadata={"recipe": recipe})
    assert load_weights(path).metadata == {"recipe": "second"}
    assert list(path.parent.iterdir()) == [path]


def test_value_out_of_range_of_half_precision_is_rejected(tmp_path):
    with pytest.raises(WeightsError, match=r"tensor 'a' has values that are not finite in torch.float16"):
        save_weights({"a": torch.tensor([1e6])}, tmp_path / "a.safetensors", half=True)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_the_existing_file(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")

    def write_half():
        with write_atomically(path) as temporary:
            temporary.write_text("half of the ne")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_path(tmp_path):
    with pytest.raises(WeightsError, match=rf"cannot write {tmp_path}: Is a directory"):
        save_weights({"a": torch.zeros(1)}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_tensors_that_share_memory_are_saved(tmp_path):
    both = torch.arange(6.0).reshape(2, 3)
    path = save_weights({"a": both[:, 0], "b": both.t()}, tmp_path / "v.safetensors")
    assert torch.equal(load_weights(path).state_dict["b"], both.t())


INVALID = {
    "missing": (
        lambda contents: None,
        "no weights at .*; allowed are 'default', 'nanodet', 'yolov8n', 'FastSAM-s', 'FastSAM-x' and",
    ),
    "empty": (lambda contents: b"", "is not a complete .safetensors file"),
    "foreign": (lambda contents: b"GIF89a" + bytes(100), "is not a complete .safetensors file"),
    "truncated header": (lambda contents: contents[:100], "is not a complete .safetensors file"),
    "truncated": (lambda contents: contents[:-1], "is not a complete .safetensors file"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", INVALID)
def test_invalid_file_is_rejected(saved, case):
    change, message = INVALID[case]
    contents = change(saved.read_bytes())
    saved.unlink()
    if contents is not None:
        saved.write_bytes(contents)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(saved)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_architecture_is_rejected_with_file_and_tensor(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"layer1.weight": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match=r"other\.safetensors: .*'model\.0\.conv\.weight' is missing"):
        load_weights(path).network()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.pt", "a.pt: the file is a bare pickle, as written by torch before 1.6"),
        ("a.onnx", "an exported graph, not a file of tensors"),
    ],
)
def test_other_formats_are_rejected_with_advice(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(WeightsError, match=message):
        load_weights(tmp_path / name)
