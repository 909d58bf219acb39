"""Options of a training run, as settings of the trainer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import ConfigError
from streamseg.fastsam.training import read_train_options
from streamseg.training.settings import TrainingSettings


def settings(num_images=4, **options):
    return read_train_options(options, device="cpu").training_settings("n", num_images)


def test_defaults_of_the_originals():
    options = read_train_options({}, device="cuda:1")
    assert (options.epochs, options.batch, options.imgsz, options.device) == (100, 16, 640, "cuda:1")
    made = options.training_settings("s", num_images=1600)
    assert (made.size, made.num_steps, made.batch_size, made.sizes) == ("s", 10_000, 16, (640,))
    assert made.num_warmup_steps == 300
    assert made.optimizer == "adamw"
    assert made.learning_rate == TrainingSettings.learning_rate
    assert made.final_learning_rate == pytest.approx(0.01 * made.learning_rate)


def test_options_become_settings():
    made = settings(
        epochs=1.5,
        batch=2,
        imgsz=33,
        lr0=0.004,
        lrf=0.5,
        optimizer="Muon",
        weight_decay=0.1,
        warmup_epochs=0.5,
        mosaic=0.0,
        copy_paste=1,
        seed=7,
        amp=False,
    )
    assert (made.num_steps, made.num_warmup_steps, made.batch_size, made.sizes) == (3, 1, 2, (64,))
    assert (made.learning_rate, made.final_learning_rate) == (0.004, 0.002)
    assert (made.optimizer, made.weight_decay, made.seed, made.half) == ("muon", 0.1, 7, False)
    assert (made.compose.mosaic, made.compose.paste) == (0, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"batch": -1}, "batch must be 1 or more: its size is not chosen", id="batch"),
        pytest.param({"epochs": 0}, "epochs must be above 0, got 0", id="epochs"),
        pytest.param({"epochs": float("nan")}, "epochs must be above 0, got nan", id="nan"),
        pytest.param({"imgsz": 16}, "imgsz must be 32 to 4096, got 16", id="imgsz"),
        pytest.param({"imgsz": (64, 96)}, "imgsz must be one number", id="two sides"),
        pytest.param({"optimizer": "SGD"}, "optimizer must be auto, AdamW or Muon, got 'SGD'", id="sgd"),
        pytest.param({"mosaic": 2}, "compose.mosaic is 2.0; it must be from 0 to 1", id="mosaic"),
        pytest.param({"seed": -1}, "seed is -1; it must be 0 or more", id="seed"),
        pytest.param({"epoch": 3}, "did you mean 'epochs'", id="typo"),
        pytest.param({"classes": [0]}, "there is one class", id="classes"),
    ],
)
def test_rejected_options(options, message):
    with pytest.raises(ConfigError, match=message) as raised:
        settings(**options)
    assert "\n" not in str(raised.value)


@given(epochs=st.floats(0.01, 50), batch=st.integers(1, 64), num_images=st.integers(1, 5000), warmup=st.floats(0, 10))
def test_steps_cover_the_epochs(epochs, batch, num_images, warmup):
    made = settings(num_images, epochs=epochs, batch=batch, warmup_epochs=warmup, imgsz=64)
    assert (made.num_steps - 1) * batch < epochs * num_images <= made.num_steps * batch or made.num_steps == 1
    assert 2 * made.num_warmup_steps <= made.num_steps
