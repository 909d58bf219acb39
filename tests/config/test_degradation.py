import pytest
from pydantic import ValidationError

from streamseg.config import DegradationConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"imgsz_scales": [0.5, 0.75]}, "must decrease", id="scales-increase"),
        pytest.param({"imgsz_scales": [0.5, 0.5]}, "must decrease", id="scale-twice"),
        pytest.param({"imgsz_scales": [1.0]}, "less than 1", id="scale-of-the-full-size"),
        pytest.param({"imgsz_scales": [0.09]}, "0.1 or more", id="scale-too-small"),
        pytest.param({"imgsz_scales": [float("nan")]}, "0.1 or more", id="scale-is-no-number"),
        pytest.param({"every_nth": [4, 2]}, "must increase", id="numbers-decrease"),
        pytest.param({"every_nth": [1]}, "2..100", id="every-frame-is-no-step"),
        pytest.param({"every_nth": [101]}, "2..100", id="number-too-large"),
        pytest.param({"every_nth": [2.5]}, "integer", id="half-a-frame"),
        pytest.param({"after_seconds": 0}, "greater than 0", id="at-once"),
        pytest.param({"recover_seconds": 1}, "at least after_seconds", id="recovers-faster-than-it-degrades"),
        pytest.param({"steps": 3}, "Extra inputs", id="unknown-key"),
    ],
)
def test_invalid_values_are_refused(values: dict[str, object], message: str):
    with pytest.raises(ValidationError, match=message):
        DegradationConfig.model_validate(values)


@pytest.mark.parametrize(
    "values", [{"imgsz_scales": [], "every_nth": []}, {"imgsz_scales": [0.1]}, {"every_nth": [100]}]
)
def test_limits_are_accepted(values: dict[str, object]):
    DegradationConfig.model_validate(values)
