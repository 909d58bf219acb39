"""Display names of prompts."""

import pytest

from streamseg.errors import DataError
from streamseg.viewer.prompt_names import MAX_NAME_CHARACTERS, PromptNames

IDS = ("p1", "p2", "p3")


@pytest.fixture
def names():
    names = PromptNames()
    names.rename({"id": "p1", "name": "cup"}, IDS)
    return names


def test_name_is_kept_while_its_prompt_is_in_force(names):
    names.rename({"id": "p2", "name": "  jar "}, IDS)
    assert names.as_json == {"p1": "cup", "p2": "jar"}
    names.keep({"p2", "p3"})
    assert names.as_json == {"p2": "jar"}, "a later prompt with that id is another prompt"


def test_id_as_name_removes_the_name(names):
    names.rename({"id": "p1", "name": "p1"}, IDS)
    assert names.as_json == {}


def test_name_can_be_set_again_and_reused(names):
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
        pytest.param({"id": "p2", "name": " "}, "1 to 64", id="blank"),
        pytest.param({"id": "p2", "name": "a\nb"}, "1 to 64", id="two lines"),
        pytest.param({"id": "p2", "name": ["x"]}, "1 to 64", id="a list"),
        pytest.param({"id": "p2", "name": "x" * (MAX_NAME_CHARACTERS + 1)}, "1 to 64", id="too long"),
        pytest.param({"id": "p2", "name": "x", "to": 1}, "unknown argument", id="unknown argument"),
    ],
)
def test_invalid_names_are_rejected_without_effect(names, args, reason):
    with pytest.raises(DataError, match=reason):
        names.rename(args, IDS)
    assert names.as_json == {"p1": "cup"}


# ---- a whole run
