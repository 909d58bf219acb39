"""Prompts as JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.config import PromptConfig
from streamseg.errors import DataError
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt
from streamseg.wire import prompt_from_json, prompt_to_json, prompts_from_json

IDS = st.text(min_size=1, max_size=64)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
POINTS = st.lists(st.tuples(FINITE, FINITE, st.integers(0, 1)), min_size=1, max_size=4)
CORNERS = st.lists(st.integers(-5000, 5000), min_size=2, max_size=2, unique=True).map(sorted)
PROMPTS = st.one_of(
    st.builds(EverythingPrompt, IDS),
    st.builds(
        lambda name, rows: PointPrompt(name, tuple(row[:2] for row in rows), tuple(row[2] for row in rows)), IDS, POINTS
    ),
    st.builds(lambda name, xs, ys: BoxPrompt(name, (xs[0], ys[0], xs[1], ys[1])), IDS, CORNERS, CORNERS),
)


@given(PROMPTS)
def test_a_prompt_survives_json(prompt):
    assert prompt_from_json(json.loads(json.dumps(prompt_to_json(prompt)))) == prompt


@given(st.lists(PROMPTS, max_size=4, unique_by=lambda prompt: prompt.prompt_id))
def test_a_list_keeps_its_order(prompts):
    assert prompts_from_json([prompt_to_json(prompt) for prompt in prompts]) == tuple(prompts)


@pytest.mark.parametrize(
    "written",
    [
        {"id": "all"},
        {"id": "cup", "points": [[1, 2], [3, 4]], "labels": [1, 0]},
        {"id": "cup", "points": [[1, 2]]},
        {"id": "door", "box": [0, 0, 4, 5]},
    ],
)
def test_a_prompt_of_the_configuration_is_read(written):
    assert prompt_from_json(PromptConfig(**written).model_dump()) == prompt_from_json(written)


def test_points_are_foreground_unless_said_otherwise():
    assert prompt_from_json({"id": "a", "points": [[1, 2], [3, 4]]}) == PointPrompt("a", ((1, 2), (3, 4)), (1, 1))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        pytest.param([], "JSON object", id="a list"),
        pytest.param(None, "JSON object", id="nothing"),
        pytest.param({}, "needs an id", id="no id"),
        pytest.param({"id": ""}, "needs an id", id="an empty id"),
        pytest.param({"id": "x" * 65}, "needs an id", id="a long id"),
        pytest.param({"id": 5}, "needs an id", id="a number as id"),
        pytest.param({"id": "a", "point": [[1, 2]]}, "no key 'point'", id="an unknown key"),
        pytest.param({"id": "a", "points": [[1, 2]], "box": [0, 0, 1, 1]}, "not both", id="points and box"),
        pytest.param({"id": "a", "labels": [1]}, "labels belong to points", id="labels alone"),
        pytest.param({"id": "a", "points": []}, "no points", id="no points"),
        pytest.param({"id": "a", "points": "12"}, "points are a list", id="points that are text"),
        pytest.param({"id": "a", "points": [1, 2]}, r"a point is \[x, y\]", id="one flat point"),
        pytest.param({"id": "a", "points": [[1]]}, r"a point is \[x, y\]", id="half a point"),
        pytest.param({"id": "a", "points": [[1, "2"]]}, r"a point is \[x, y\]", id="text as number"),
        pytest.param({"id": "a", "points": [[True, 2]]}, r"a point is \[x, y\]", id="true as number"),
        pytest.param({"id": "a", "points": [[1, float("nan")]]}, "finite", id="not a number"),
        pytest.param({"id": "a", "points": [[10**400, 1]]}, "fit a double", id="beyond a double"),
        pytest.param({"id": "a", "points": [[1, 2]] * 1025}, "at most 1024", id="too many points"),
        pytest.param({"id": "a", "points": [[1, 2]], "labels": [1, 0]}, "one label per point", id="too many labels"),
        pytest.param({"id": "a", "points": [[1, 2]], "labels": [2]}, "labels are 1", id="an unknown label"),
        pytest.param({"id": "a", "points": [[1, 2]], "labels": [True]}, "labels are a list", id="true as label"),
        pytest.param({"id": "a", "points": [[1, 2]], "labels": 1}, "labels are a list", id="one label for all"),
        pytest.param({"id": "a", "box": [0, 0, 1]}, "a box is", id="a box of three"),
        pytest.param({"id": "a", "box": [0, 0, 0, 1]}, "x0 < x1", id="a box without width"),
        pytest.param({"id": "a", "box": {"x": 1}}, "a box is", id="a box that is an object"),
    ],
)
def test_what_is_no_prompt_is_refused(values, complaint):
    with pytest.raises(DataError, match=complaint) as caught:
        prompt_from_json(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        pytest.param({"id": "a"}, "list", id="one prompt"),
        pytest.param([{"id": "a"}, {"id": "a"}], "twice: a", id="two with one id"),
        pytest.param([{"id": str(nth)} for nth in range(257)], "at most 256", id="too many"),
    ],
)
def test_what_is_no_list_of_prompts_is_refused(values, complaint):
    with pytest.raises(DataError, match=complaint):
        prompts_from_json(values)
