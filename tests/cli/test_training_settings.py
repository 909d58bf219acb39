import pytest

from streamseg.cli.training_settings import training_settings
from streamseg.errors import ConfigError
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.training.settings import TrainingSettings
from streamseg.weights import load_weights, save_weights


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Weights of network size s."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    return load_weights(save_weights(build_yolov8("s", seed=0).state_dict(), path))


def test_unset_settings_have_their_defaults():
    assert training_settings({}, [], None) == TrainingSettings()


def test_command_line_overrides_the_recipe():
    values = {"num_steps": 5, "seed": 3, "compose": {"mosaic": 0.1, "paste": 0.2}}
    made = training_settings(values, ["num_steps=7", "compose.paste=0.5"], None)
    assert (made.num_steps, made.seed, made.compose.mosaic, made.compose.paste) == (7, 3, 0.1, 0.5)
    assert values["compose"] == {"mosaic": 0.1, "paste": 0.2}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "changes"),
    [
        pytest.param({}, [], id="unset"),
        pytest.param({"size": "s"}, [], id="recipe-agrees"),
        pytest.param({"size": "n"}, ["size=s"], id="command-line-overrides-recipe"),
    ],
)
def test_weights_determine_the_size(small, values, changes):
    assert training_settings(values, changes, small).size == "s"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "changes"),
    [pytest.param({"size": "n"}, [], id="recipe"), pytest.param({}, ["size=n"], id="command-line")],
)
def test_size_that_differs_from_the_weights_is_rejected(small, values, changes):
    with pytest.raises(ConfigError) as caught:
        training_settings(values, changes, small)
    assert str(caught.value) == (
        f"the settings require a network of size n, but {small.path} has size s; omit size, or start from other weights"
    )
