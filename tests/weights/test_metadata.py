import hashlib
from dataclasses import replace

import pytest
import torch

from streamseg.errors import WeightsError
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.weights import load_weights, save_weights
from streamseg.weights.catalogue import LicenceStatement, OfficialWeights, RemoteFile, find_official
from streamseg.weights.convert import convert_weights
from streamseg.weights.metadata import read_graph_metadata, read_weights_metadata
from tests.support.checkpoints import official_checkpoint, tiny_network
from tests.support.networks import lively_graph


@pytest.mark.slow
def test_published_size(tmp_path):
    network = build_yolov8("s", reg_max=16, seed=0)
    path = save_weights(network.state_dict(), tmp_path / "s.safetensors", metadata={"licence": "MIT"}, half=True)
    found = read_weights_metadata(load_weights(path))
    assert (found.size, found.channels, found.repeats) == ("s", (32, 64, 128, 256, 512), (1, 2))
    assert (found.reg_max, found.num_classes, found.num_masks, found.sppf_activation) == (16, 1, 32, True)
    assert (found.num_tensors, found.num_parameters, found.precision) == (417, 11_790_483, "float16")
    assert (found.format, found.num_bytes) == ("safetensors", path.stat().st_size)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.official, found.licence, found.metadata) == ("", "MIT", {"licence": "MIT"})


@pytest.mark.slow
@pytest.mark.parametrize(("size", "reg_max", "num_classes"), [("n", 16, 1), ("n", 26, 1), ("n", 16, 80), ("m", 16, 1)])
def test_size_is_determined_from_widths_and_depths(tmp_path, size, reg_max, num_classes):
    network = build_yolov8(size, reg_max=reg_max, num_classes=num_classes, seed=0)
    found = read_weights_metadata(
        load_weights(save_weights(network.state_dict(), tmp_path / "w.safetensors", half=True))
    )
    assert (found.size, found.reg_max, found.num_classes) == (size, reg_max, num_classes)


@pytest.mark.slow
def test_official_and_converted_files_are_identified_by_hash(tmp_path):
    path = official_checkpoint(tiny_network(), tmp_path / "t.pt", license="AGPL-3.0")
    weights = load_weights(path)
    unknown = read_weights_metadata(weights)
    assert (unknown.format, unknown.size, unknown.official) == ("PyTorch checkpoint", "custom", "")
    assert unknown.licence == "AGPL-3.0"
    assert unknown.metadata["imgsz"] == "1024"

    file = RemoteFile("publisher", path.stat().st_size, weights.sha256, ())
    licences = (LicenceStatement("MIT", "one"), LicenceStatement("GPL-3.0-only", "another"))
    catalogue = [OfficialWeights("Tiny-t", "t.pt", (), (file,), licences)]
    known = read_weights_metadata(weights, catalogue=catalogue)
    assert known.official == "Tiny-t, as published by publisher"
    assert known.licence == "contested: MIT (one); GPL-3.0-only (another)"
    converted = load_weights(convert_weights(weights, tmp_path / "t.safetensors"))
    assert read_weights_metadata(converted, catalogue=catalogue) == replace(
        known,
        path=str(converted.path),
        format="safetensors",
        num_bytes=converted.path.stat().st_size,
        sha256=converted.sha256,
        official="converted from Tiny-t, as published by publisher (according to its metadata)",
        metadata=converted.metadata,
    )


def test_origin_in_the_metadata_is_marked_as_unverified(tmp_path):
    metadata = {"source_sha256": find_official("FastSAM-s").files[0].sha256}
    path = save_weights(tiny_network().state_dict(), tmp_path / "t.safetensors", metadata=metadata)
    official = read_weights_metadata(load_weights(path)).official
    assert official.startswith("converted from FastSAM-s")
    assert official.endswith("(according to its metadata)")


def test_mixed_precision(tmp_path):
    state_dict = tiny_network().state_dict()
    state_dict["model.0.conv.weight"] = state_dict["model.0.conv.weight"].to(torch.bfloat16)
    path = save_weights(state_dict, tmp_path / "t.safetensors")
    assert read_weights_metadata(load_weights(path)).precision == "bfloat16, float32"


@pytest.mark.slow
def test_graph(tmp_path):
    path = tmp_path / "n.onnx"
    path.write_bytes(lively_graph())
    found = read_graph_metadata(path)
    assert found.inputs == {"images": "tensor(uint8) ['batch', 'height', 'width', 3]"}
    assert list(found.outputs) == ["boxes", "scores", "mask_coefficients", "prototypes"]
    assert found.metadata["streamseg_graph"] == "1"
    assert found.sha256 == hashlib.sha256(lively_graph()).hexdigest()


@pytest.mark.parametrize("contents", [b"", b"GIF89a" + bytes(100)], ids=["empty", "foreign"])
def test_invalid_graph(tmp_path, contents):
    path = tmp_path / "n.onnx"
    path.write_bytes(contents)
    with pytest.raises(WeightsError, match=r"n\.onnx is not a readable ONNX graph") as caught:
        read_graph_metadata(path)
    assert "\n" not in str(caught.value)
