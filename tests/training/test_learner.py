from dataclasses import replace
from pathlib import Path

import pytest
import torch

from streamseg.errors import DataError
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.training.batches import batches
from streamseg.training.learner import Learner, learning_rate
from streamseg.training.settings import TrainingSettings
from tests.support.images import ListSource, drawn_sample

pytestmark = pytest.mark.slow

SETTINGS = TrainingSettings(num_steps=10, batch_size=2, sizes=(32,), num_warmup_steps=4, half=False)
NAME = "model.0.conv.weight"


def learner(settings=SETTINGS):
    return Learner(build_yolov8("n", seed=0), settings, torch.device("cpu"))


def first_batch():
    source = ListSource([drawn_sample(seed) for seed in range(2)])
    options = {"sizes": (32,), "batch_size": 2, "start": 0, "stop": 1, "seed": 0, "settings": SETTINGS.compose}
    return next(batches([source], [1.0], num_workers=0, **options))


@pytest.mark.parametrize(
    ("step", "share"),
    [
        pytest.param(0, 0.25, id="first"),
        pytest.param(3, 1.0, id="end-of-the-warm-up"),
        pytest.param(4, 1.0, id="top-of-the-cosine"),
        pytest.param(7, 0.5, id="half-way"),
        pytest.param(10, 0.0, id="end"),
        pytest.param(99, 0.0, id="beyond-the-end"),
    ],
)
def test_learning_rate(step, share):
    last = SETTINGS.final_learning_rate if step > 3 else 0.0
    assert learning_rate(step, SETTINGS) == pytest.approx(last + share * (SETTINGS.learning_rate - last))


def test_step_is_a_gradient_and_an_update():
    one, other = learner(), learner()
    batch = first_batch()
    losses = one.backward(batch)
    assert one.step == 0
    assert list(losses) == ["box", "distribution", "score", "mask"]
    assert all(value.isfinite() for value in losses.values())
    assert torch.equal(one.network.state_dict()[NAME], other.network.state_dict()[NAME])
    assert one.network.get_parameter(NAME).grad.abs().sum() > 0
    again = other.train_on(batch)
    assert all(torch.equal(again[name], losses[name]) for name in losses)
    assert other.step == 1
    assert not torch.equal(one.network.state_dict()[NAME], other.network.state_dict()[NAME])
    assert other.network.get_parameter(NAME).grad is None


def test_infinite_value_is_detected():
    one = learner()
    assert one.first_infinite() is None
    with torch.no_grad():
        one.network.get_parameter(NAME)[0, 0, 0, 0] = float("nan")
    assert one.first_infinite() == NAME


def test_state_is_restored():
    one, other = learner(), learner()
    one.train_on(first_batch())
    other.load_state_dict(one.state_dict(), Path("there"))
    assert other.step == 1
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name])
    with pytest.raises(DataError, match="there belongs to a network of size n, not to s as in the settings"):
        learner(TrainingSettings(size="s")).load_state_dict(one.state_dict(), Path("there"))


def test_teacher_adds_its_loss():
    batch = first_batch()
    teacher = build_yolov8("n", seed=1)
    # Without detections there is nothing to learn.
    for branch in teacher.model[22].cv3:
        branch[-1].bias.data.fill_(-9.0)
    losses = Learner(build_yolov8("n", seed=0), SETTINGS, torch.device("cpu"), teacher=teacher).backward(batch)
    assert float(losses["teacher"].detach()) == 0
    for branch in teacher.model[22].cv3:
        branch[-1].bias.data.fill_(2.0)
    gain = replace(SETTINGS, teacher_gain=3.0)
    once, thrice = (
        float(
            Learner(build_yolov8("n", seed=0), one, torch.device("cpu"), teacher=teacher)
            .backward(batch)["teacher"]
            .detach()
        )
        for one in (SETTINGS, gain)
    )
    assert thrice == pytest.approx(3 * once)
    assert once > 0
