import math

import pytest

from streamseg.errors import ConfigError
from streamseg.training.compose import ComposeSettings
from streamseg.training.settings import TrainingSettings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"size": "q"}, "size is q; it must be one of n, s, m, l, x", id="unknown-size"),
        pytest.param({"num_steps": 0}, "num_steps is 0; it must be at least 1", id="no-steps"),
        pytest.param({"batch_size": 0}, "batch_size is 0; it must be at least 1", id="empty-batch"),
        pytest.param(
            {"batch_size": 1, "sizes": (64, 32)}, "at least 2 for images of 32 pixels", id="one-value-to-normalise"
        ),
        pytest.param({"sizes": ()}, "sizes is (); it must be one or more multiples of 32", id="no-size"),
        pytest.param(
            {"sizes": (64, 100)}, "sizes is (64, 100); it must be one or more multiples of 32", id="no-multiple"
        ),
        pytest.param({"sizes": (0,)}, "one or more multiples of 32", id="size-0"),
        pytest.param({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0", id="rate-0"),
        pytest.param({"learning_rate": math.nan}, "learning_rate is nan", id="rate-nan"),
        pytest.param({"learning_rate": math.inf}, "learning_rate is inf", id="rate-inf"),
        pytest.param({"final_learning_rate": -1.0}, "final_learning_rate is -1.0", id="last-rate-negative"),
        pytest.param({"weight_decay": -0.1}, "weight_decay is -0.1", id="decay-negative"),
        pytest.param({"num_warmup_steps": -1}, "num_warmup_steps is -1", id="warm-up-negative"),
        pytest.param(
            {"average_decay": 1.0}, "average_decay is 1.0; it must be from 0 to below 1", id="average-stands-still"
        ),
        pytest.param({"max_gradient_norm": 0.0}, "max_gradient_norm is 0.0", id="no-gradient"),
        pytest.param({"seed": -1}, "seed is -1; it must be 0 or more", id="seed-negative"),
    ],
)
def test_invalid_settings_are_rejected(values, message):
    with pytest.raises(ConfigError) as caught:
        TrainingSettings(**values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="defaults"),
        pytest.param({"num_warmup_steps": 0, "num_steps": 1, "final_learning_rate": 0.0}, id="smallest"),
        pytest.param({"batch_size": 1, "sizes": (64,)}, id="one-image"),
        pytest.param({"compose": ComposeSettings(mosaic=0, paste=1)}, id="composition"),
    ],
)
def test_valid_settings(values):
    settings = TrainingSettings(**values)
    assert all(getattr(settings, name) == value for name, value in values.items())
