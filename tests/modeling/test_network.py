import pytest
import torch
from torch import nn

from streamseg.errors import WeightsError
from streamseg.modeling.network import fuse
from streamseg.modeling.yolov8 import build_yolov8
from tests.support.networks import lively_network


@pytest.fixture(scope="module")
def network():
    return lively_network()


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "reg_max", "num_tensors", "parameters", "fused_parameters"),
    [
        pytest.param("s", 16, 417, 11_790_483, 11_779_987, id="FastSAM-s"),
        pytest.param("x", 26, 657, 72_234_149, 72_203_813, id="FastSAM-x"),
    ],
)
def test_counts_match_the_official_files(size, reg_max, num_tensors, parameters, fused_parameters):
    with torch.device("meta"):
        network = build_yolov8(size, reg_max=reg_max)
    assert len(network.state_dict()) == num_tensors
    assert num_parameters(network) == parameters
    assert num_parameters(fuse(network)) == fused_parameters


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("model.0.conv.weight", (32, 3, 3, 3)),
        ("model.0.bn.running_var", (32,)),
        ("model.2.m.0.cv1.conv.weight", (32, 32, 3, 3)),
        ("model.4.m.1.cv2.bn.bias", (64,)),
        ("model.9.cv1.conv.weight", (256, 512, 1, 1)),
        ("model.9.cv2.conv.weight", (512, 1024, 1, 1)),
        ("model.12.cv1.conv.weight", (256, 768, 1, 1)),
        ("model.15.cv1.conv.weight", (128, 384, 1, 1)),
        ("model.18.cv1.conv.weight", (256, 384, 1, 1)),
        ("model.21.cv1.conv.weight", (512, 768, 1, 1)),
        ("model.22.cv2.0.0.conv.weight", (64, 128, 3, 3)),
        ("model.22.cv2.2.2.weight", (64, 64, 1, 1)),
        ("model.22.cv3.1.2.bias", (1,)),
        ("model.22.cv4.0.2.weight", (32, 32, 1, 1)),
        ("model.22.dfl.conv.weight", (1, 16, 1, 1)),
        ("model.22.proto.upsample.weight", (128, 128, 2, 2)),
        ("model.22.proto.upsample.bias", (128,)),
        ("model.22.proto.cv3.conv.weight", (32, 128, 1, 1)),
    ],
)
def test_tensors_of_size_s_have_the_official_names_and_shapes(name, shape):
    with torch.device("meta"):
        assert build_yolov8("s").state_dict()[name].shape == shape


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (32, 96), (96, 32)])
def test_prediction_shapes(network, size):
    height, width = size
    num_anchors = sum((height // stride) * (width // stride) for stride in (8, 16, 32))
    with torch.inference_mode():
        predictions = network(torch.rand(2, 3, height, width))
    assert predictions.box_logits.shape == (2, 64, num_anchors)
    assert predictions.score_logits.shape == (2, 1, num_anchors)
    assert predictions.mask_coefficients.shape == (2, 32, num_anchors)
    assert predictions.prototypes.shape == (2, 32, height // 4, width // 4)


@pytest.mark.slow
def test_prototypes_and_pooling_end_in_an_activation(network):
    # SiLU is never below -0.2785; without the activation random networks go far below. FastSAM has both.
    outputs = []
    handle = network.model[9].cv1.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    with torch.inference_mode():
        prototypes = network(torch.rand(1, 3, 64, 64)).prototypes
    handle.remove()
    for values in (prototypes, outputs[0]):
        assert -0.2785 < values.min() < 0


def test_batch_norms_have_the_official_constants(network):
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 66
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.03)}


@pytest.mark.slow
def test_seed_determines_weights_without_changing_the_global_generator():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second, other = (build_yolov8("n", seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.rand(1) == expected
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["model.0.conv.weight"], other["model.0.conv.weight"])


@pytest.mark.slow
def test_fresh_network_expects_a_few_objects():
    with torch.inference_mode():
        predictions = build_yolov8("n", seed=0).eval()(torch.rand(1, 3, 640, 640))
    assert 1 < predictions.score_logits.sigmoid().sum() < 100


def test_fused_network_is_equal_up_to_rounding(network):
    images = torch.rand(2, 3, 64, 96)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.inference_mode():
        fused = fuse(network)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
        assert not any(parameter.requires_grad for parameter in fused.parameters())
        for expected, got in zip(network(images), fused(images), strict=True):
            torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-3)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_unknown_size_lists_the_allowed_ones():
    with pytest.raises(WeightsError, match=r"unknown network size 'h'; allowed are n, s, m, l, x"):
        build_yolov8("h")
