import copy

import pytest
import torch
from torch import nn

from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from streamseg.modeling.network import Network
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.training.optimizer import Optimizer, build_optimizer
from tests.support.checkpoints import tiny_network

LEARNING_RATE = 1e-3


def small_network() -> Network:
    """A narrow network: the optimizers do not depend on the width, but their time does."""
    network = tiny_network().train()
    network.to(memory_format=torch.channels_last)
    return network


def default_network() -> Network:
    network = build_yolov8("n", seed=0)
    network.to(memory_format=torch.channels_last)
    return network


def give_gradients(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn(parameter.shape, generator=generator)


def steps(optimizer: Optimizer, network: nn.Module, seeds: range) -> None:
    for seed in seeds:
        give_gradients(network, seed)
        optimizer.step(LEARNING_RATE)


@pytest.mark.slow
def test_adamw_matches_torch_without_decay_on_biases_and_norms() -> None:
    ours, theirs = small_network(), small_network()
    trained = [parameter for parameter in theirs.parameters() if parameter.requires_grad]
    reference = torch.optim.AdamW(
        [
            {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": 0.1},
            {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=LEARNING_RATE,
    )
    steps(build_optimizer("adamw", ours, weight_decay=0.1), ours, range(3))
    for seed in range(3):
        give_gradients(theirs, seed)
        reference.step()
    for mine, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=0)


@pytest.mark.slow
def test_muon_updates_all_directions_of_a_convolution_equally() -> None:
    network = default_network()
    weight = network.model[3].conv.weight  # (64, 32, 3, 3)
    before = weight.detach().clone()
    steps(build_optimizer("muon", network, weight_decay=0.0), network, range(1))
    update = (weight.detach() - before).permute(0, 2, 3, 1).flatten(1)
    strengths = torch.linalg.svdvals(update)
    # Five Newton-Schulz steps give singular values between about 0.7 and 1.2.
    assert strengths.max() / strengths.min() < 2
    # The root mean square matches AdamW's steps: 0.2 of the learning rate.
    assert update.square().mean().sqrt() == pytest.approx(0.2 * LEARNING_RATE, rel=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_every_trained_weight_is_updated(kind: str) -> None:
    network = small_network()
    before = copy.deepcopy(network)
    steps(build_optimizer(kind, network, weight_decay=0.0), network, range(1))
    for (name, now), earlier in zip(network.named_parameters(), before.parameters(), strict=True):
        assert (not torch.equal(now, earlier)) == now.requires_grad, name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_restored_state_continues_exactly(kind: str) -> None:
    straight, resumed = small_network(), small_network()
    optimizer = build_optimizer(kind, straight, weight_decay=0.02)
    steps(optimizer, straight, range(2))
    resumed.load_state_dict(straight.state_dict())
    state = copy.deepcopy(optimizer.state_dict())
    steps(optimizer, straight, range(2, 4))
    other = build_optimizer(kind, resumed, weight_decay=0.02)
    other.load_state_dict(state)
    steps(other, resumed, range(2, 4))
    for wanted, got in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(wanted, got)


@pytest.mark.slow
def test_settings_override_the_restored_weight_decay() -> None:
    network = small_network()
    saved = build_optimizer("adamw", network, weight_decay=0.5)
    steps(saved, network, range(1))
    optimizer = build_optimizer("adamw", network, weight_decay=0.0)
    optimizer.load_state_dict(saved.state_dict())
    assert [group["weight_decay"] for part in optimizer.state_dict() for group in part["param_groups"]] == [0.0, 0.0]


def test_state_of_another_optimizer_is_rejected() -> None:
    network = small_network()
    state = build_optimizer("adamw", network, weight_decay=0.0).state_dict()
    with pytest.raises(ValueError, match="1 optimizers were saved, but the settings require 2"):
        build_optimizer("muon", network, weight_decay=0.0).load_state_dict(state)


def test_muon_requires_channels_last_weights() -> None:
    with pytest.raises(ValueError, match="channels_last"):
        build_optimizer("muon", build_yolov8("n", seed=0), weight_decay=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize(
    ("rate", "share"),
    [pytest.param(0.0, 0.0, id="frozen"), pytest.param(0.1, 0.1, id="careful"), pytest.param(1.0, 1.0, id="alike")],
)
def test_pretrained_modules_have_a_rate_of_their_own(kind, rate, share):
    network = build_nanodet(NanoDetConfig(prototype_channels=8, mask_channels=8), seed=0)
    network.to(memory_format=torch.channels_last)
    before = copy.deepcopy(network)
    # One step of AdamW moves each value by the learning rate, whatever its gradient is.
    steps(build_optimizer(kind, network, weight_decay=0.0, pretrained_rate=rate), network, range(1))
    for name in ("backbone.stem.conv.bias", "score.0.bias"):
        moved = (network.get_parameter(name) - before.get_parameter(name)).detach().abs()
        assert float(moved.mean()) == pytest.approx(share * LEARNING_RATE, rel=1e-2, abs=1e-9)
    assert not torch.equal(
        network.get_parameter("proto.mix.conv.weight"), before.get_parameter("proto.mix.conv.weight")
    )


@pytest.mark.slow
def test_careful_modules_have_no_weight_decay():
    network = build_nanodet(NanoDetConfig(prototype_channels=8, mask_channels=8), seed=0)
    before = copy.deepcopy(network)
    optimizer = build_optimizer("adamw", network, weight_decay=0.5, pretrained_rate=0.5)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(LEARNING_RATE)
    assert torch.equal(network.get_parameter("towers.0.conv.weight"), before.get_parameter("towers.0.conv.weight"))
    assert not torch.equal(network.get_parameter("mask.0.1.weight"), before.get_parameter("mask.0.1.weight"))
