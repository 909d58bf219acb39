"""Requests to services as control operations."""

import re
from types import SimpleNamespace

import pytest

from streamseg.errors import DataError
from streamseg.ros.services import SERVICES, call
from streamseg.wire import prompt_from_json
from tests.support.paths import REPOSITORY

FOLDER = REPOSITORY / "ros" / "streamseg_ros"

EMPTY = {"id": "cup", "source": "", "points": [], "labels": [], "box": [], "text": "", "follow": True}


@pytest.mark.parametrize(
    ("given", "prompt"),
    [
        ({}, {"id": "cup"}),
        ({"points": [1.0, 2.0, 3.0, 4.0], "labels": [1, 0]}, {"points": [[1.0, 2.0], [3.0, 4.0]], "labels": [1, 0]}),
        ({"points": [1.0, 2.0], "follow": False}, {"points": [[1.0, 2.0]], "follow": False}),
        ({"box": [1.0, 2.0, 30.0, 40.0], "source": "cam"}, {"box": [1.0, 2.0, 30.0, 40.0], "source": "cam"}),
        ({"text": "a red cup"}, {"text": "a red cup"}),
    ],
)
def test_prompts_are_added_as_by_the_control_channel(given, prompt):
    received = []

    def set_prompts(args):
        received.append(args)
        return {"prompts": args["prompts"]}

    answer = call("add_prompt", SimpleNamespace(**{**EMPTY, **given}), {"prompts.set": set_prompts})
    assert answer == (True, "cup")
    (args,) = received
    assert args == {"prompts": [{"id": "cup", **prompt}]}
    prompt_from_json(args["prompts"][0])


@pytest.mark.parametrize(("ids", "args"), [([], {}), (["cup", "pen"], {"ids": ["cup", "pen"]})], ids=["all", "some"])
def test_prompts_are_removed(ids, args):
    operations = {"prompts.clear": lambda given: {"prompts": [{"id": str(given)}]}}
    assert call("remove_prompt", SimpleNamespace(ids=ids), operations) == (True, str(args))


def test_errors_are_answers():
    def step(args):
        raise DataError(f"no prompt {args['id']!r}")

    assert call("step", SimpleNamespace(id="cup"), {"prompts.step": step}) == (False, "no prompt 'cup'")
    odd = SimpleNamespace(**{**EMPTY, "points": [1.0]})
    ok, message = call("add_prompt", odd, {})
    assert (ok, message) == (False, "points must be x0, y0, x1, y1, …, got 1 numbers")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_definitions_have_the_fields_that_are_read(name):
    """The package's definitions, parsed as rosidl does: request, ---, response."""
    package, kind, type_name = SERVICES[name][0].split("/")
    assert (package, kind) == (FOLDER.name, "srv")
    request, _, response = (FOLDER / "srv" / f"{type_name}.srv").read_text().partition("---")
    fields = re.findall(r"^[a-z0-9]+(?:\[\])? ([a-z_]+)", request, re.MULTILINE)
    assert fields == {"add_prompt": list(EMPTY), "remove_prompt": ["ids"], "step": ["id"]}[name]
    assert re.findall(r"^([a-z]+) ([a-z_]+)", response, re.MULTILINE) == [("bool", "ok"), ("string", "message")]
    assert f'"srv/{type_name}.srv"' in (FOLDER / "CMakeLists.txt").read_text()
