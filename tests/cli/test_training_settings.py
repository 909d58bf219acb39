import pytest

from streamseg.cli.training_settings import training_settings
from streamseg.errors import ConfigError
from streamseg.modeling.network import build_network
from streamseg.training.settings import TrainingSettings
from streamseg.weights import load_weights, save_weights


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Weights of size s."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    return load_weights(save_weights(build_network("s", seed=0).state_dict(), path))


def test_what_nobody_sets_has_its_default():
    assert training_settings({}, [], None) == TrainingSettings()


def test_the_command_line_goes_before_the_recipe():
    values = {"num_steps": 5, "seed": 3, "compose": {"mosaic": 0.1, "paste": 0.2}}
    made = training_settings(values, ["num_steps=7", "compose.paste=0.5"], None)
    assert (made.num_steps, made.seed, made.compose.mosaic, made.compose.paste) == (7, 3, 0.1, 0.5)
    assert values["compose"] == {"mosaic": 0.1, "paste": 0.2}


@pytest.mark.parametrize(
    ("values", "changes"),
    [
        pytest.param({}, [], id="nobody-says"),
        pytest.param({"size": "s"}, [], id="the-recipe-agrees"),
        pytest.param({"size": "n"}, ["size=s"], id="the-command-line-corrects-the-recipe"),
    ],
)
def test_weights_decide_the_size(small, values, changes):
    assert training_settings(values, changes, small).size == "s"


@pytest.mark.parametrize(
    ("values", "changes"),
    [pytest.param({"size": "n"}, [], id="recipe"), pytest.param({}, ["size=n"], id="command-line")],
)
def test_another_size_than_the_weights_names_both(small, values, changes):
    with pytest.raises(ConfigError) as caught:
        training_settings(values, changes, small)
    assert str(caught.value) == (
        f"the settings ask for a network of size n, but {small.path} is one of size s; leave size out, or start from"
        " other weights"
    )
