"""Targets saved from one run to the next."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.errors import DataError
from tests.support.tracked_shapes import (
    BOX,
    CLICK,
    CUP,
    KITE,
    Objects,
    Run,
    click,
    frame_of,
    restored,
    shifted,
    status_of,
)

EMBEDDINGS = {1: (1, 0, 0), 2: (0, 1, 0), 3: (0, 0, 1), 7: (1, 0.1, 0), 8: (0, 1, 0.1)}
FIRST: Objects = [(1, CUP), (2, BOX), (3, KITE)]


def saved_state(*prompts, frames: int = 4, embeddings=EMBEDDINGS):
    run = Run()
    for _ in range(frames):
        run(frame_of(FIRST, embeddings), *prompts)
    return json.loads(json.dumps(run.tracker.state_dict(), allow_nan=False))


@pytest.mark.parametrize("embeddings", [EMBEDDINGS, None], ids=["by-embeddings", "by-shape-alone"])
def test_targets_are_reidentified_in_another_run(embeddings):
    box = click(BOX.x, BOX.y, prompt_id="box")
    run = Run(saved_state(CLICK, box, embeddings=embeddings))
    # The box is at the former position of the cup.
    later: Objects = [(7, shifted(CUP, 150, 20)), (8, shifted(BOX, -160, 60))]
    statuses = [[status_of(one) for one in run(frame_of(later, embeddings), CLICK, box)] for _ in range(3)]
    assert statuses == [[("lost", -1)] * 2, *[[("reacquired", 7), ("reacquired", 8)]] * 2]


def test_changed_prompt_is_evaluated_afresh():
    state = saved_state(CLICK)
    moved_click = click(BOX.x, BOX.y)
    assert status_of(Run(state)(frame_of(FIRST, EMBEDDINGS), moved_click)[0]) == ("bound", 2)


def test_state_is_kept_until_the_target_is_found():
    state = saved_state(CLICK)
    assert restored(state).state_dict() == state
    run = Run(state)
    run(frame_of([]), CLICK)
    assert run.tracker.state_dict() == state, "also while the target is not visible"


def test_prompt_without_a_match_is_not_saved():
    assert saved_state(click(5, 5)) == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(None, "it is NoneType, not a mapping", id="none"),
        pytest.param({"box": [1, 2, 3]}, "box has a wrong shape", id="three-sides"),
        pytest.param({"box": [9, 2, 3, 4]}, "box must satisfy x0 <= x1 and y0 <= y1", id="x1-below-x0"),
        pytest.param({"box": [float("nan"), 2, 3, 4]}, "box is out of range", id="nan"),
        pytest.param({"velocity": "fast"}, "velocity must be numbers", id="text"),
        pytest.param({"silhouettes": []}, "silhouettes has a wrong shape", id="no-views"),
        pytest.param({"silhouettes": [[1] * 71] * 4}, "silhouettes has a wrong shape", id="short-view"),
        pytest.param({"silhouettes": [[300] * 72] * 4}, "silhouettes is out of range", id="no-bytes"),
        pytest.param({"silhouettes": [[1] * 72] * 400}, "silhouettes has a wrong shape", id="many-views"),
        pytest.param({"areas": [1.0]}, "areas has a wrong shape", id="wrong-number-of-areas"),
        pytest.param({"embeddings": [[0.5]]}, "embeddings has a wrong shape", id="wrong-number-of-embeddings"),
        pytest.param({"embeddings": [[0.5], [1, 2], [0], [0]]}, "embeddings must be numbers", id="ragged"),
        pytest.param({"prompt": "x"}, "prompt must be an integer", id="not-a-number"),
        pytest.param({"step": 1.5}, "step must be an integer", id="half-a-step"),
    ],
)
def test_invalid_state_is_rejected_in_one_line(change, reason):
    state = saved_state(CLICK)
    state["click"] = None if change is None else {**state["click"], **change}
    with pytest.raises(DataError) as caught:
        restored(state)
    assert str(caught.value).startswith(f"the saved state of prompt 'click' is invalid ({reason})")
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(saved_state(CLICK)["click"])), JSON, max_size=3))
def test_random_state_is_rejected_or_harmless(change):
    state = saved_state(CLICK)
    state["click"].update(change)
    try:
        run = Run(state)
    except DataError:
        return
    assert status_of(run(frame_of(FIRST, EMBEDDINGS), CLICK)[0])[0] in ("lost", "bound")
