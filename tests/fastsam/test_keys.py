"""Options as Ultralytics' users write them."""

from __future__ import annotations

import inspect
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import ConfigError
from streamseg.fastsam import FastSAM
from streamseg.fastsam.keys import KEYS, MODES, UNAVAILABLE, WITHOUT_EFFECT, read_keys
from streamseg.fastsam.options import Options
from streamseg.fastsam.saving import Saving
from streamseg.fastsam.training import COMPOSE, SETTINGS, TrainOptions
from streamseg.training.compose import ComposeSettings
from streamseg.training.settings import TrainingSettings


def parameters(mode):
    """Names that the method of a mode accepts, by itself or as an option."""
    own = set(inspect.signature(getattr(FastSAM, mode)).parameters)
    options = {one.name for one in (*fields(Options), *fields(Saving))}
    train = {one.name for one in fields(TrainOptions)} | {*SETTINGS, *COMPOSE}
    return (
        own
        | {
            "predict": options,
            "track": options,
            "val": options | {"split"},
            "train": train,
            "export": {"half", "nms", "conf", "iou", "max_det"},
        }[mode]
    )


@pytest.mark.parametrize("mode", MODES)
def test_every_key_of_a_mode_is_an_option_there(mode):
    used = {name for name, key in KEYS.items() if mode in key.modes}
    assert used <= parameters(mode)


def test_settings_exist_in_the_trainer():
    assert set(SETTINGS.values()) <= {one.name for one in fields(TrainingSettings)}
    assert set(COMPOSE.values()) <= {one.name for one in fields(ComposeSettings)}


def test_no_key_is_unused_or_has_two_meanings():
    for name, key in KEYS.items():
        assert key.modes, name
        assert key.ours, name
        assert set(key.modes) <= set(MODES)
        assert name not in UNAVAILABLE or not set(key.modes) & set(UNAVAILABLE[name][0])
        assert name not in WITHOUT_EFFECT or set(key.modes) != set(MODES)


@pytest.mark.parametrize(
    ("mode", "values", "ignored"),
    [
        pytest.param("train", {"patience": 50, "cache": True, "plots": True}, ("patience", "cache"), id="training"),
        pytest.param(
            "predict", {"agnostic_nms": True, "task": "segment", "verbose": False}, ("agnostic_nms",), id="nms"
        ),
        pytest.param("val", {"batch": 8, "conf": 0.1}, ("batch",), id="key of another mode"),
        pytest.param("export", {"dynamic": True, "imgsz": 640, "opset": None}, ("dynamic", "imgsz"), id="export"),
        pytest.param("train", {"show": True, "int8": False}, ("show", "int8"), id="unavailable elsewhere"),
        pytest.param("predict", {"show": False, "augment": None}, (), id="off"),
    ],
)
def test_keys_without_effect_are_reported(mode, values, ignored):
    assert read_keys(mode, values).ignored == ignored


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        pytest.param("half", 1, True, id="1 is True"),
        pytest.param("half", np.bool_(False), False, id="numpy's False"),
        pytest.param("max_det", np.int64(5), 5, id="numpy's integer"),
        pytest.param("max_det", 5.0, 5, id="a whole float"),
        pytest.param("conf", 1, 1.0, id="an integer as a number"),
        pytest.param("conf", np.float32(0.5), 0.5, id="numpy's float"),
    ],
)
def test_values_get_the_type_of_their_key(name, value, expected):
    got = read_keys("predict", {name: value}).values[name]
    assert got == expected
    assert type(got) is type(expected)


@given(
    mode=st.sampled_from(MODES),
    name=st.sampled_from(sorted(KEYS)),
    value=st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=3)
    ),
)
def test_any_value_is_read_or_a_one_line_error(mode, name, value):
    try:
        given_keys = read_keys(mode, {name: value})
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert set(given_keys.values) | set(given_keys.ignored) <= {name}
