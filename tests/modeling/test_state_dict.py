import pytest
import torch

from streamseg.errors import WeightsError
from streamseg.modeling.state_dict import config_from_state_dict, meta_network, network_from_state_dict
from streamseg.modeling.yolov8 import YoloV8Config, build_yolov8
from tests.support.networks import lively_network

SIZES = ["n", "s", "m", "l", "x"]


@pytest.fixture(scope="module")
def network():
    return lively_network()


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("reg_max", [16, 26])
def test_configuration_is_inferred_from_shapes(size, reg_max):
    config = YoloV8Config.of_size(size, reg_max=reg_max, num_classes=3, num_masks=8)
    with torch.device("meta"):
        network = build_yolov8(size, reg_max=reg_max, num_classes=3, num_masks=8)
    assert network.config == config
    assert config_from_state_dict(network.state_dict()) == config


@pytest.mark.slow
def test_loaded_network_is_equal(network):
    loaded = network_from_state_dict({name: tensor.clone() for name, tensor in network.state_dict().items()})
    assert not loaded.training
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        for expected, got in zip(network(images)[:4], loaded(images)[:4], strict=True):
            assert torch.equal(got, expected)


@pytest.mark.slow
def test_half_precision_tensors_are_loaded_as_float32(network):
    halves = {name: t.half() if t.is_floating_point() else t for name, t in network.state_dict().items()}
    assert {parameter.dtype for parameter in network_from_state_dict(halves).parameters()} == {torch.float32}


@pytest.mark.slow
def test_training_step_counters_may_be_absent(network):
    kept = {name: t for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert len(kept) < len(network.state_dict())
    network_from_state_dict(kept)


def without(name):
    return lambda state_dict: state_dict.pop(name)


def replaced(name, tensor):
    return lambda state_dict: state_dict.__setitem__(name, tensor)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(dict.clear, "'model.0.conv.weight' is missing", id="empty"),
        pytest.param(without("model.22.dfl.conv.weight"), "'model.22.dfl.conv.weight' is missing", id="no-dfl"),
        pytest.param(without("model.5.bn.bias"), "missing: model.5.bn.bias", id="missing"),
        pytest.param(replaced("model.23.x", torch.zeros(1)), "unexpected: model.23.x", id="unexpected"),
        pytest.param(
            replaced("model.5.bn.bias", torch.zeros(3)),
            r"wrong shape: model.5.bn.bias is \(3,\), not \(128,\)",
            id="shape",
        ),
        pytest.param(
            replaced("model.22.cv3.0.2.weight", torch.zeros(1)), "must have 4 axes, got shape", id="wrong-axes"
        ),
    ],
)
def test_mismatching_tensors_are_named(network, spoil, message):
    state_dict = dict(network.state_dict())
    spoil(state_dict)
    with pytest.raises(WeightsError, match=message) as caught:
        network_from_state_dict(state_dict)
    assert "\n" not in str(caught.value)


def test_meta_network_has_the_same_shapes(network):
    shapes = meta_network(network.config).state_dict()
    assert {tensor.device.type for tensor in shapes.values()} == {"meta"}
    assert {name: (t.shape, t.dtype) for name, t in shapes.items()} == {
        name: (t.shape, t.dtype) for name, t in network.state_dict().items()
    }


def test_loaded_network_does_not_share_memory_with_the_tensors(network):
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    loaded = network_from_state_dict(tensors)
    tensors["model.0.conv.weight"].zero_()
    assert torch.equal(loaded.model[0].conv.weight, network.model[0].conv.weight)
    assert loaded.model[0].conv.weight.requires_grad


def test_activation_option_is_applied(network):
    without = network_from_state_dict(network.state_dict(), sppf_activation=False)
    assert not without.config.sppf_activation
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert not torch.equal(without(images).score_logits, network(images).score_logits)
