"""`FastSAMPredictor`: one network pass, any number of prompts."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.errors import ConfigError, WeightsError
from streamseg.fastsam import FastSAMPredictor, Results
from tests.support.networks import blobs

IMAGE = blobs((120, 160), seed=5)
OPTIONS = {"conf": 0.02, "task": "segment", "mode": "predict", "save": False, "imgsz": 160}


@pytest.fixture(scope="module")
def predictor() -> FastSAMPredictor:
    return FastSAMPredictor(overrides={"model": "default", **OPTIONS})


def test_prompts_need_no_second_pass(predictor):
    everything = predictor(IMAGE)
    num = len(everything[0])
    assert num > 1
    for prompts in ({"bboxes": [[20, 20, 100, 100]]}, {"points": [80, 60]}, {"points": [[80, 60]], "labels": [0]}):
        (selected,) = predictor.prompt(everything, **prompts)
        (expected,) = predictor.model(IMAGE, conf=0.02, imgsz=160, **prompts)
        np.testing.assert_array_equal(selected.boxes.data, expected.boxes.data)
        assert len(everything[0]) == num
    assert len(predictor.prompt(everything[0])[0]) == num


def test_stream(predictor):
    stream = predictor([IMAGE, IMAGE], stream=True)
    assert isinstance(next(stream), Results)
    assert len(list(stream)) == 1


@pytest.mark.slow
def test_errors(predictor):
    with pytest.raises(WeightsError, match="encoders"):
        predictor.prompt(predictor(IMAGE), texts="a photo of a dog")
    with pytest.raises(ConfigError, match="unknown option"):
        FastSAMPredictor({"model": "default", "colour": 1})(IMAGE)
