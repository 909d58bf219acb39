from dataclasses import replace

import pytest
import torch
from torch import nn

from streamseg.errors import WeightsError
from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from streamseg.modeling.network import fuse
from streamseg.modeling.sizes import build_network, size_name
from streamseg.modeling.state_dict import check_state_dict, config_from_state_dict, network_from_state_dict
from streamseg.modeling.yolov8 import YoloV8Config

pytestmark = pytest.mark.slow

CONFIG = NanoDetConfig(prototype_channels=16, mask_channels=8, embedding_channels=12, num_masks=4, reg_max=9)


@pytest.fixture(scope="module")
def network():
    return build_nanodet(CONFIG, seed=0).eval()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (160, 32)])
def test_shapes(network, height, width):
    with torch.inference_mode():
        predictions = network(torch.rand(2, 3, height, width))
    cells = sum(height * width // stride**2 for stride in (8, 16, 32))
    assert predictions.box_logits.shape == (2, 4 * 9, cells)
    assert predictions.score_logits.shape == (2, 1, cells)
    assert predictions.mask_coefficients.shape == (2, 4, cells)
    assert predictions.prototypes.shape == (2, 4, height // 4, width // 4)
    assert predictions.embeddings is not None
    assert predictions.embeddings.shape == (2, 12, height // 8, width // 8)
    torch.testing.assert_close(predictions.embeddings.norm(dim=1), torch.ones(2, height // 8, width // 8))


def test_without_embedding():
    with torch.inference_mode():
        assert build_nanodet(replace(CONFIG, embedding_channels=0), seed=0)(torch.rand(1, 3, 64, 64)).embeddings is None


def test_architecture_is_read_from_the_tensors(network):
    config = config_from_state_dict(network.state_dict())
    assert config == CONFIG
    loaded = network_from_state_dict(network.state_dict())
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        for ours, theirs in zip(loaded(images), network(images), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"towers.1.conv.weight": None}, "tensors missing: towers.1.conv.weight", id="missing"),
        pytest.param(
            {"score.0.weight": None}, "weights of a NanoDet-seg network: tensor 'score.0.weight'", id="no-score"
        ),
        pytest.param({"more": torch.zeros(1)}, "tensors unexpected: more", id="unexpected"),
        pytest.param({"neck.lateral.0.bias": torch.zeros(3)}, "of the wrong shape: neck.lateral.0.bias", id="shape"),
        pytest.param({"dfl.conv.weight": torch.zeros(9)}, "must have 4 axes", id="axes"),
    ],
)
def test_other_tensors_are_rejected(network, change, message):
    tensors = {**network.state_dict(), **change}
    with pytest.raises(WeightsError, match=message):
        check_state_dict({name: tensor for name, tensor in tensors.items() if tensor is not None})


def test_fused_network_is_equal(network):
    other = build_nanodet(CONFIG, seed=1)
    for module in other.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        for ours, theirs in zip(fuse(other)(images), other.eval()(images), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_random_weights_keep_the_variance():
    with torch.inference_mode():
        features = build_nanodet(seed=0).eval().backbone(torch.rand(1, 3, 128, 128))
    assert all(0.05 < float(one.std()) < 5 for one in features)


def test_seed_determines_the_weights():
    first, second = (build_network("nanodet", seed=seed).state_dict() for seed in (3, 3))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        pytest.param(NanoDetConfig(), "nanodet", id="default"),
        pytest.param(NanoDetConfig(embedding_channels=64), "nanodet", id="with-an-embedding"),
        pytest.param(NanoDetConfig(num_masks=16, reg_max=8, num_classes=3), "nanodet", id="other-heads"),
        pytest.param(NanoDetConfig(mask_channels=7), "custom", id="other-width"),
        pytest.param(YoloV8Config.of_size("m"), "m", id="m"),
        pytest.param(replace(YoloV8Config.of_size("m"), sppf_activation=False), "m", id="m-without-activation"),
        pytest.param(replace(YoloV8Config.of_size("m"), repeats=(1, 1)), "custom", id="other-depth"),
    ],
)
def test_size_name(config, name):
    assert size_name(config) == name
