import pytest
import torch
from torch import nn

from streamseg.errors import WeightsError
from streamseg.weights.checkpoint import read_checkpoint
from tests.support.checkpoints import official_checkpoint, official_classes, official_model, tiny_network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network():
    return tiny_network()


def rejection(path):
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(network, path, change):
    """Write a checkpoint of the network after a change of its module tree."""
    with official_classes() as classes:
        model = official_model(network, classes)
        model = change(model, classes) or model
        torch.save({"model": model, "ema": None}, path)
    return path


def attribute(name, key, value):
    return lambda model, _: setattr(model.get_submodule(name), key, value)


def submodule(name, build):
    def change(model, classes):
        parent, _, key = name.rpartition(".")
        model.get_submodule(parent)._modules[key] = build(classes)

    return change


def without(name):
    def change(model, _):
        parent, _, key = name.rpartition(".")
        del model.get_submodule(parent)._modules[key]

    return change


def layer(index, kind):
    def change(model, classes):
        changed_module = classes[kind]()
        changed_module.f = model.model[index].f
        changed_module._modules.update(model.model[index]._modules)
        model.model[index] = changed_module

    return change


def of_kind(kind):
    def change(model, classes):
        changed_module = classes[kind]()
        changed_module.model = model.model
        return changed_module

    return change


def fused(model, _):
    for module in model.modules():
        if type(module).__name__ == "Conv":
            del module._modules["bn"]
            module.conv.bias = nn.Parameter(module.conv.weight[:, 0, 0, 0].clone())


def more_layers(model, classes):
    model.model.append(classes["Conv"]())


def deep(model, _):
    inner = model.model[0]
    for _ in range(20):
        inner.deeper = nn.Sequential()
        inner = inner.deeper


def many(model, _):
    shared = [nn.Sequential()]
    for _ in range(8):
        shared.append(nn.Sequential(*[shared[-1]] * 8))
    model.model[0].many = shared[-1]


ADVICE = "streamseg supports YOLOv8-seg and FastSAM networks; choose a checkpoint of one of them"
OTHERS = {
    "detection": (
        of_kind("DetectionModel"),
        f"contains a DetectionModel, which is not an instance segmentation model; {ADVICE}",
    ),
    "detection-head": (layer(22, "Detect"), f"layer 22 is Detect, but YOLOv8-seg has Segment; {ADVICE}"),
    "pose-head": (layer(22, "Pose"), "layer 22 is Pose, but YOLOv8-seg has Segment"),
    "yolo11": (layer(2, "C3k2"), "layer 2 is C3k2, but YOLOv8-seg has C2f"),
    "more-layers": (more_layers, "more than the 23 layers"),
    "fewer-layers": (without("model.22"), "layer 22 is nothing"),
    "fused": (fused, "model.0 has its batch norm folded into its convolution; choose a checkpoint from before"),
    "batch-norm-eps": (attribute("model.5.bn", "eps", 1e-5), "model.5.bn has eps 1e-05, but YOLOv8-seg has 0.001"),
    "batch-norm-eps-of-a-kind": (attribute("model.5.bn", "eps", "0.001"), "model.5.bn has eps '0.001'"),
    "stride": (attribute("model.1.conv", "stride", (1, 1)), r"model.1.conv has stride \(1, 1\), but"),
    "padding": (attribute("model.1.conv", "padding", (0, 0)), r"model.1.conv has padding \(0, 0\)"),
    "padding-by-name": (attribute("model.1.conv", "padding", "same"), "model.1.conv has padding 'same'"),
    "padding-mode": (attribute("model.1.conv", "padding_mode", "reflect"), "padding_mode 'reflect'"),
    "dilation": (attribute("model.22.cv3.0.0.conv", "dilation", (2, 2)), "model.22.cv3.0.0.conv has dilation"),
    "upsample-stride": (attribute("model.22.proto.upsample", "stride", (3, 3)), "proto.upsample has stride"),
    "residual": (attribute("model.2.m.0", "add", False), "model.2.m.0 has add False, but YOLOv8-seg has True"),
    "pooling-residual": (attribute("model.9", "add", True), "model.9 has add True"),
    "pooling-count": (attribute("model.9", "n", 2), "model.9 has n 2"),
    "pooling-window": (attribute("model.9.m", "kernel_size", 7), "layer 9 does not pool 5x5 cells"),
    "activation": (submodule("model.0.act", lambda _: nn.ReLU()), "model.0 ends in ReLU, but YOLOv8-seg ends in SiLU"),
    "no-activation": (submodule("model.0.act", lambda _: nn.Identity()), "model.0 ends in Identity"),
    "activation-missing": (without("model.0.act"), "model.0 ends in nothing"),
    "pooling-activation": (submodule("model.9.cv1.act", lambda _: nn.ReLU()), "model.9.cv1 ends in ReLU"),
    "source": (attribute("model.11", "f", [-1, 4]), "layer 11 does not have the same inputs as in YOLOv8-seg"),
    "source-of-a-kind": (attribute("model.12", "f", [[-1]]), "layer 12 does not have the same inputs"),
    "upsample-mode": (attribute("model.10", "mode", "bilinear"), "layer 10 does not have mode nearest"),
    "upsample-factor": (attribute("model.13", "scale_factor", 4.0), "layer 13 does not have scale_factor 2.0"),
    "concatenation": (attribute("model.14", "d", 2), "layer 14 does not have d 1"),
    "unexpected-branch": (
        submodule("model.22.one2one", lambda _: nn.Conv2d(1, 1, 1)),
        "tensors unexpected: model.22.one2one.weight",
    ),
    "missing-branch": (without("model.22.cv4"), "tensors missing: model.22.cv4.0.0.conv"),
    "modules-without-dict": (attribute("model.3", "_modules", []), "_modules of model.3 is not a dict"),
    "invalid-module": (lambda model, _: model.model._modules.update({"3": 3}), "'3' in model is not a module"),
    "invalid-tensor": (
        lambda model, _: model.model[0].conv._parameters.update(weight=3),
        "'weight' in model.0.conv is not a tensor",
    ),
    "name-with-a-dot": (
        lambda model, _: model.model[0]._modules.update({"a.b": nn.SiLU()}),
        "a member with the unsupported name 'a.b'",
    ),
    "deep": (deep, "more than 12 levels"),
    "many": (many, "has more than 5000 modules"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_architecture_is_rejected_with_the_difference(case, network, tmp_path):
    change, message = OTHERS[case]
    with pytest.raises(WeightsError, match=message):
        read_checkpoint(changed(network, tmp_path / "a.pt", change))


def test_unchanged_tree_is_read(network, tmp_path):
    read = read_checkpoint(changed(network, tmp_path / "a.pt", lambda model, _: None))
    assert read.state_dict.keys() == network.state_dict().keys()


def test_pooling_without_activation(network, tmp_path):
    without = submodule("model.9.cv1.act", lambda _: nn.Identity())
    assert read_checkpoint(changed(network, tmp_path / "a.pt", without)).metadata["sppf_activation"] == "false"
    with_one = official_checkpoint(network, tmp_path / "b.pt")
    assert read_checkpoint(with_one).metadata["sppf_activation"] == "true"


def test_non_persistent_buffers_are_not_read(network, tmp_path):
    def change(model, _):
        model.model[0].register_buffer("temporary", torch.zeros(2), persistent=False)

    assert "model.0.temporary" not in read_checkpoint(changed(network, tmp_path / "a.pt", change)).state_dict
