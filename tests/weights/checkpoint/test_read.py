import json
import pickletools
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streamseg import Segmenter
from streamseg.errors import WeightsError
from streamseg.modeling.yolov8 import YoloV8Config, build_yolov8
from streamseg.weights import load_weights, save_weights
from streamseg.weights.checkpoint import read_checkpoint
from streamseg.weights.checkpoint.archive import Archive
from streamseg.weights.checkpoint.modules import module_tree
from streamseg.weights.checkpoint.storages import Storages
from streamseg.weights.checkpoint.unpickler import unpickle
from tests.support.checkpoints import TINY, official_checkpoint, official_classes, official_model, tiny_network
from tests.support.networks import blobs, lively_network
from tests.support.paths import GOLDEN

CHECKPOINTS = GOLDEN / "checkpoint"
REAL = CHECKPOINTS / "real.pt"
"""Written by the official package; see tests/golden/make_checkpoint.py."""


@pytest.fixture(scope="module")
def network():
    return tiny_network()


def assert_same_tensors(read, written, *, half=True):
    assert read.keys() == written.keys()
    for name, tensor in written.items():
        expected = tensor.half() if half and tensor.is_floating_point() else tensor
        assert read[name].dtype == expected.dtype
        assert torch.equal(read[name], expected), name


# ---- against the official package


def test_tensors_of_official_file_are_read_exactly():
    expected = json.loads((CHECKPOINTS / "tensors.json").read_text())
    read = read_checkpoint(REAL).state_dict
    assert read.keys() == expected.keys()
    assert len(read) == 417
    found = {
        name: [str(tensor.dtype), list(tensor.shape), zlib.crc32(tensor.contiguous().numpy().tobytes())]
        for name, tensor in read.items()
    }
    assert found == expected


@pytest.mark.slow
def test_metadata_of_official_file():
    weights = load_weights(REAL)
    assert weights.metadata == {
        "source_format": "ultralytics checkpoint",
        "sppf_activation": "true",
        "ultralytics_version": "8.0.120",
        "date": "2023-06-20T12:00:00.000000",
        "imgsz": "1024",
        "names": '{"0": "object"}',
    }
    assert weights.network().config == YoloV8Config(
        channels=(8, 8, 8, 16, 32), repeats=(1, 2), prototype_channels=8, num_classes=1, reg_max=8, num_masks=8
    )


def tree(path):
    with Archive(path) as archive:
        storages = Storages(archive, byteorder="little")
        contents = unpickle(archive.read(archive.entries["data.pkl"]), storages)
        return contents, module_tree(contents["model"])


@pytest.mark.slow
def test_fabricated_files_have_the_structure_of_official_ones(tmp_path):
    contents, real = tree(REAL)
    network = load_weights(REAL).network()
    fabricated_contents, fabricated = tree(official_checkpoint(network, tmp_path / "a.pt"))
    assert list(fabricated_contents) == list(contents)
    assert {name: module.kind for name, module in fabricated.modules.items()} == {
        name: module.kind for name, module in real.modules.items()
    }
    for name, module in real.modules.items():
        assert fabricated.modules[name].attributes.keys() == module.attributes.keys(), name
    assert {name: (t.storage.dtype, t.shape, t.stride) for name, t in fabricated.tensors.items()} == {
        name: (t.storage.dtype, t.shape, t.stride) for name, t in real.tensors.items()
    }
    names = [names_in(path) for path in (REAL, tmp_path / "a.pt")]
    assert names[0] == names[1]
    assert "__builtin__ getattr" in names[0]


def names_in(path):
    with zipfile.ZipFile(path) as opened:
        (program,) = [name for name in opened.namelist() if name.endswith("data.pkl")]
        return {argument for opcode, argument, _ in pickletools.genops(opened.read(program)) if opcode.name == "GLOBAL"}


# ---- fabricated files


@pytest.mark.slow
@pytest.mark.parametrize("half", [True, False])
def test_stripped_checkpoint(half, network, tmp_path):
    path = official_checkpoint(network, tmp_path / "a.pt", half=half)
    assert_same_tensors(read_checkpoint(path).state_dict, network.state_dict(), half=half)


@pytest.mark.slow
def test_average_is_read_from_unfinished_training(network, tmp_path):
    path = official_checkpoint(network, tmp_path / "last.pt", in_ema=True, version="8.3.40")
    assert_same_tensors(read_checkpoint(path).state_dict, network.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "reg_max", "num_classes"),
    [
        pytest.param("n", 16, 80, id="YOLOv8n-seg"),
        pytest.param("s", 16, 1, id="FastSAM-s"),
    ],
)
def test_published_sizes(size, reg_max, num_classes, tmp_path):
    network = build_yolov8(size, reg_max=reg_max, num_classes=num_classes, seed=0)
    weights = load_weights(official_checkpoint(network, tmp_path / "a.pt"))
    assert weights.network().config == network.config
    assert len(json.loads(weights.metadata["names"])) == num_classes
    assert_same_tensors(weights.state_dict, network.state_dict())


def test_state_dict(network, tmp_path):
    path = tmp_path / "a.pt"
    torch.save(network.state_dict(), path)
    read = read_checkpoint(path)
    assert_same_tensors(read.state_dict, network.state_dict(), half=False)
    assert read.metadata == {"source_format": "state dict"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "around",
    [
        pytest.param(lambda tensors: {"state_dict": tensors, "epoch": 3}, id="in-a-dict"),
        pytest.param(lambda tensors: {"model": dict(tensors)}, id="as-the-model"),
        pytest.param(lambda tensors: {f"model.{name}": tensor for name, tensor in tensors.items()}, id="wrapped"),
    ],
)
def test_nested_or_wrapped_state_dict(around, network, tmp_path):
    path = tmp_path / "a.pt"
    torch.save(around(network.state_dict()), path)
    assert_same_tensors(read_checkpoint(path).state_dict, network.state_dict(), half=False)


@pytest.mark.slow
def test_model_without_surrounding_dict(network, tmp_path):
    path = tmp_path / "a.pt"
    with official_classes() as classes:
        torch.save(official_model(network, classes), path)
    assert_same_tensors(read_checkpoint(path).state_dict, network.state_dict(), half=False)
    assert list(read_checkpoint(path).state_dict) == list(network.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param({"license": "AGPL-3.0 License"}, {"license": "AGPL-3.0 License"}, id="license"),
        pytest.param({"train_args": {"imgsz": 640}}, {"imgsz": "640"}, id="imgsz"),
        pytest.param({"train_args": {"imgsz": 10**6}}, {"imgsz": "1024"}, id="absurd-imgsz"),
        pytest.param({"train_args": None}, {"imgsz": "1024"}, id="no-train-args"),
        pytest.param({"version": "a\nb", "date": 7, "license": "x" * 999}, {}, id="unusable"),
        pytest.param({"train_metrics": {"fitness": np.float64(0.5)}}, {}, id="numpy"),
        pytest.param({"train_args": {"save_dir": Path("runs")}}, {"imgsz": "1024"}, id="path"),
    ],
)
def test_metadata(entries, expected, network, tmp_path):
    metadata = read_checkpoint(official_checkpoint(network, tmp_path / "a.pt", **entries)).metadata
    assert expected.items() <= metadata.items()
    assert all(value.isprintable() and len(value) <= 200 for value in metadata.values())
    assert ("license" in metadata) == ("license" in expected)


@pytest.mark.slow
def test_activation_is_kept_in_network_and_conversion(tmp_path):
    network = tiny_network(config=replace(TINY, sppf_activation=False))
    read = load_weights(official_checkpoint(network, tmp_path / "a.pt", half=False))
    converted = load_weights(save_weights(read.state_dict, tmp_path / "a.safetensors", metadata=read.metadata))
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = network(images)
        for weights in (read, converted):
            assert weights.network().config == network.config
            for output, got in zip(expected[:4], weights.network()(images)[:4], strict=True):
                assert torch.equal(got, output)
        without_metadata = load_weights(save_weights(read.state_dict, tmp_path / "b.safetensors")).network()
        assert not torch.equal(without_metadata(images).score_logits, expected.score_logits)


def test_invalid_metadata_is_rejected(network, tmp_path):
    path = save_weights(network.state_dict(), tmp_path / "a.safetensors", metadata={"sppf_activation": "maybe"})
    with pytest.raises(WeightsError, match=r"a\.safetensors: metadata sppf_activation must be true or false, got 'ma"):
        load_weights(path).network()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        pytest.param("model.5.conv.weight", float("nan"), "tensor 'model.5.conv.weight' has values that", id="nan"),
        pytest.param("model.5.bn.running_var", float("inf"), "has values that are not finite; choose", id="infinite"),
        pytest.param("model.22.dfl.conv.weight", 1.0, "is not 0..15, as in every network of this kind", id="bins"),
    ],
)
def test_invalid_values_are_rejected(name, value, message, tmp_path):
    network = tiny_network()
    with torch.no_grad():
        network.state_dict()[name].fill_(value)
    with pytest.raises(WeightsError, match=message):
        read_checkpoint(official_checkpoint(network, tmp_path / "a.pt"))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        pytest.param({"model": None, "ema": None}, "contains neither a network nor a state dict", id="nothing"),
        pytest.param({"model": [1, 2]}, "contains neither a network nor a state dict", id="list"),
        pytest.param([1, 2], "contains neither a network nor a state dict", id="outermost-list"),
        pytest.param({"a": torch.zeros(1), "b": 3}, "entry 'b' is not a tensor", id="mixed"),
        pytest.param({"a": torch.zeros(1)}, "tensor 'model.0.conv.weight' is missing", id="other-network"),
        pytest.param(
            {"model": torch.nn.Linear(1, 1)},
            "contains a Linear, which is not an instance segmentation model",
            id="other-module",
        ),
        pytest.param(
            {"model.0.conv.weight": torch.zeros(2**20, 0, 3, 3)},
            r"has 1048576 in axis 0; 1..65536 are allowed",
            id="giant-without-elements",
        ),
    ],
)
def test_torch_files_with_other_contents_are_rejected(contents, message, tmp_path):
    path = tmp_path / "a.pt"
    torch.save(contents, path)
    with pytest.raises(WeightsError, match=message) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_legacy_torch_file_is_rejected(network, tmp_path):
    path = tmp_path / "a.pt"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(
        WeightsError, match=r"a bare pickle, as written by torch before 1\.6, .*; load it with the program"
    ):
        read_checkpoint(path)


@pytest.mark.slow
def test_segmenter_results_are_equal_for_checkpoint_and_safetensors(tmp_path):
    network = lively_network()
    checkpoint = official_checkpoint(network, tmp_path / "a.pt", half=False)
    converted = save_weights(network.state_dict(), tmp_path / "a.safetensors")
    image = blobs((192, 256), 3)
    results = [Segmenter(path, engine="torch", imgsz=256)([image])[0] for path in (checkpoint, converted)]
    assert len(results[0]) > 0
    assert torch.equal(results[0].boxes, results[1].boxes)
    assert torch.equal(results[0].mask_logits, results[1].mask_logits)
    assert Segmenter(checkpoint, engine="torch").imgsz == 1024
