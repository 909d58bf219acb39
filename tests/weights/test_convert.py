import pytest
import torch
from safetensors.torch import save_file

import streamseg
from streamseg.errors import WeightsError
from streamseg.weights import load_weights, save_weights
from streamseg.weights.convert import convert_weights
from tests.support.checkpoints import official_checkpoint, tiny_network


@pytest.fixture
def checkpoint(tmp_path):
    return official_checkpoint(tiny_network(), tmp_path / "FastSAM-t.pt", license="AGPL-3.0")


def assert_same_tensors(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert second[name].dtype == tensor.dtype, name
        assert torch.equal(second[name], tensor), name


@pytest.mark.slow
@pytest.mark.parametrize("half", [True, False], ids=["half precision", "single precision"])
def test_values_are_unchanged(tmp_path, half):
    weights = load_weights(official_checkpoint(tiny_network(), tmp_path / "t.pt", half=half))
    converted = load_weights(convert_weights(weights, tmp_path / "t.safetensors"))
    assert {tensor.dtype for tensor in weights.state_dict.values()} >= {torch.float16 if half else torch.float32}
    assert_same_tensors(weights.state_dict, converted.state_dict)
    assert converted.network().config == weights.network().config


@pytest.mark.slow
def test_metadata_are_kept_and_the_source_is_recorded(checkpoint, tmp_path):
    weights = load_weights(checkpoint)
    converted = load_weights(convert_weights(weights, tmp_path / "t.safetensors"))
    assert {"imgsz", "names", "license"} <= weights.metadata.keys()
    assert converted.metadata == {
        **weights.metadata,
        "source_file": "FastSAM-t.pt",
        "source_sha256": weights.sha256,
        "converted_by": f"streamseg {streamseg.__version__}",
    }


@pytest.mark.slow
def test_repeated_conversion_keeps_the_first_source(checkpoint, tmp_path):
    first = load_weights(convert_weights(load_weights(checkpoint), tmp_path / "a.safetensors"))
    second = load_weights(convert_weights(first, tmp_path / "b.safetensors"))
    assert second.metadata == first.metadata
    assert second.sha256 != load_weights(checkpoint).sha256
    assert_same_tensors(first.state_dict, second.state_dict)


@pytest.mark.slow
def test_half_precision_option(tmp_path):
    weights = load_weights(official_checkpoint(tiny_network(), tmp_path / "t.pt", half=False))
    converted = load_weights(convert_weights(weights, tmp_path / "t.safetensors", half=True))
    halved = {name: t.half() if t.is_floating_point() else t for name, t in weights.state_dict.items()}
    assert_same_tensors(halved, converted.state_dict)


@pytest.mark.slow
def test_existing_file_is_replaced(checkpoint, tmp_path):
    out = tmp_path / "new" / "t.safetensors"
    out.parent.mkdir()
    out.write_text("old")
    convert_weights(load_weights(checkpoint), out)
    assert load_weights(out).metadata["source_file"] == checkpoint.name
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.slow
def test_rejected_conversion_changes_no_file(checkpoint, tmp_path):
    own = save_weights(tiny_network().state_dict(), tmp_path / "own.safetensors")
    link = tmp_path / "link.safetensors"
    link.symlink_to(own)
    before = own.read_bytes()
    for out in (own, link):
        with pytest.raises(WeightsError, match="is the file to convert; choose another output"):
            convert_weights(load_weights(own), out)
    with pytest.raises(WeightsError, match=r"must be a \.safetensors file, got .*t\.pt"):
        convert_weights(load_weights(checkpoint), tmp_path / "t.pt")
    assert own.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([checkpoint.name, own.name, link.name])


def test_other_networks_are_not_converted(tmp_path):
    save_file({"layer1.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors: these are not the weights of a YOLOv8-seg network"):
        convert_weights(load_weights(tmp_path / "other.safetensors"), tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
