"""What prompts are called on the page."""

import pytest

from streamseg.errors import DataError
from streamseg.viewer.names import MAX_NAME_CHARACTERS, Names

IDS = ("p1", "p2", "p3")


@pytest.fixture
def names():
    names = Names()
    names.rename({"id": "p1", "name": "cup"}, IDS)
    return names


def test_a_name_is_kept_as_long_as_its_prompt_is_in_force(names):
    names.rename({"id": "p2", "name": "  jar "}, IDS)
    assert names.as_json == {"p1": "cup", "p2": "jar"}
    names.keep({"p2", "p3"})
    assert names.as_json == {"p2": "jar"}, "another prompt with that id is not the same"


def test_a_prompt_can_be_called_by_its_id_again(names):
    names.rename({"id": "p1", "name": "p1"}, IDS)
    assert names.as_json == {}


def test_a_name_can_be_given_to_the_same_prompt_twice_and_to_another_after_that(names):
    names.rename({"id": "p1", "name": "cup"}, IDS)
    names.rename({"id": "p1", "name": "mug"}, IDS)
    names.rename({"id": "p2", "name": "cup"}, IDS)
    assert names.as_json == {"p1": "mug", "p2": "cup"}


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        pytest.param({"id": "p2", "name": "cup"}, "unique", id="name of another"),
        pytest.param({"id": "p2", "name": "p3"}, "unique", id="id of another"),
        pytest.param({"id": "p2", "name": "p1"}, "unique", id="id of another that has a name"),
        pytest.param({"id": "p9", "name": "x"}, "no prompt 'p9'", id="unknown prompt"),
        pytest.param({"id": 7, "name": "x"}, "no prompt '7'", id="id is a number"),
        pytest.param({"name": "x"}, "no prompt", id="without id"),
        pytest.param({"id": "p2"}, "1 to 64", id="without name"),
        pytest.param({"id": "p2", "name": " "}, "1 to 64", id="nothing to see"),
        pytest.param({"id": "p2", "name": "a\nb"}, "1 to 64", id="two lines"),
        pytest.param({"id": "p2", "name": ["x"]}, "1 to 64", id="a list"),
        pytest.param({"id": "p2", "name": "x" * (MAX_NAME_CHARACTERS + 1)}, "1 to 64", id="too long"),
        pytest.param({"id": "p2", "name": "x", "to": 1}, "unknown argument", id="unknown argument"),
    ],
)
def test_other_names_are_refused_and_nothing_changes(names, args, reason):
    with pytest.raises(DataError, match=reason):
        names.rename(args, IDS)
    assert names.as_json == {"p1": "cup"}
