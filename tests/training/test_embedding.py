import numpy as np
import pytest
import torch

from streamseg.errors import ConfigError, WeightsError
from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.training.embedding import EmbeddingSettings, PairFeatures, collect_pairs, train_embedding
from tests.support.images import drawn_sample

pytestmark = pytest.mark.slow

SETTINGS = EmbeddingSettings(channels=16, num_pairs=10, size=64, num_epochs=30, batch_size=2)
SAMPLES = [drawn_sample(seed) for seed in range(4)]


def draw(rng):
    return SAMPLES[int(rng.integers(len(SAMPLES)))]


@pytest.fixture(scope="module")
def network():
    return build_nanodet(NanoDetConfig(prototype_channels=8, mask_channels=8), seed=0).eval()


@pytest.fixture(scope="module")
def pairs(network):
    return collect_pairs(network, draw, SETTINGS)


def test_features_of_all_pairs(pairs):
    assert len(pairs) == 10
    assert pairs.fine.shape == (10, 2, 128, 8, 8)
    assert pairs.coarse.shape == (10, 2, 256, 4, 4)
    assert pairs.labels.shape == (10, 2, 8, 8)
    assert pairs[:3].labels.shape == (3, 2, 8, 8)


def test_training_finds_the_object_and_changes_nothing_else(network, pairs):
    losses = []
    trained, accuracy = train_embedding(network, pairs, SETTINGS, on_step=lambda step, loss: losses.append(loss))
    assert len(losses) == 135
    assert np.mean(losses[-20:]) < 0.7 * np.mean(losses[:5])
    assert 0 < accuracy <= 1
    assert trained.config.embedding_channels == 16
    before = network.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.state_dict().items() if name in before)
    assert {name.split(".")[0] for name in trained.state_dict().keys() - before.keys()} == {"embedding"}
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(trained(images).score_logits, network(images).score_logits)


def test_existing_branch_is_replaced(network, pairs):
    settings = EmbeddingSettings(channels=8, num_pairs=10, size=64, num_epochs=0.1, batch_size=2)
    first, _ = train_embedding(network, pairs, SETTINGS)
    second, _ = train_embedding(first, pairs, settings)
    assert second.config.embedding_channels == 8


def test_pairs_without_objects_give_no_gradient(network, pairs):
    empty = PairFeatures(pairs.fine, pairs.coarse, torch.zeros_like(pairs.labels))
    _, accuracy = train_embedding(network, empty, SETTINGS)
    # All cells belong to the background, so each takes its label from its own.
    assert accuracy == pytest.approx(1)


def test_other_architecture_is_rejected():
    with pytest.raises(WeightsError, match="require a NanoDet-seg network, got yolov8"):
        collect_pairs(build_yolov8("n"), draw, SETTINGS)


@pytest.mark.parametrize(
    ("key", "value"),
    [("channels", 3), ("num_pairs", 9), ("size", 72), ("size", 32), ("num_epochs", 0.0), ("batch_size", 0)],
)
def test_values_out_of_range(key, value):
    with pytest.raises(ConfigError, match=f"{key} is {value}"):
        EmbeddingSettings(**{key: value})
