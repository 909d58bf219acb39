"""What prompts remember from one run to the next."""

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


def memory_of(*prompts, frames: int = 4, embeddings=EMBEDDINGS):
    run = Run()
    for _ in range(frames):
        run(frame_of(FIRST, embeddings), *prompts)
    return json.loads(json.dumps(run.tracker.state_dict(), allow_nan=False))


@pytest.mark.parametrize("embeddings", [EMBEDDINGS, None], ids=["by-looks", "by-shape-alone"])
def test_another_run_finds_the_objects_again(embeddings):
    box = click(BOX.x, BOX.y, prompt_id="box")
    run = Run(memory_of(CLICK, box, embeddings=embeddings))
    # The cup's place is taken by the box.
    later: Objects = [(7, shifted(CUP, 150, 20)), (8, shifted(BOX, -160, 60))]
    stands = [[status_of(one) for one in run(frame_of(later, embeddings), CLICK, box)] for _ in range(3)]
    assert stands == [[("lost", -1)] * 2, *[[("reacquired", 7), ("reacquired", 8)]] * 2]


def test_a_prompt_that_means_something_else_is_asked():
    memory = memory_of(CLICK)
    moved_click = click(BOX.x, BOX.y)
    assert status_of(Run(memory)(frame_of(FIRST, EMBEDDINGS), moved_click)[0]) == ("bound", 2)


def test_memory_is_handed_on_where_no_frame_came():
    memory = memory_of(CLICK)
    assert restored(memory).state_dict() == memory
    run = Run(memory)
    run(frame_of([]), CLICK)
    assert run.tracker.state_dict() == memory, "and while its object is not there"


def test_what_never_had_an_object_has_no_memory():
    assert memory_of(click(5, 5)) == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(None, "it is NoneType, not a mapping", id="nothing"),
        pytest.param({"box": [1, 2, 3]}, "box has a wrong shape", id="three-sides"),
        pytest.param({"box": [9, 2, 3, 4]}, "box must satisfy x0 <= x1 and y0 <= y1", id="inside-out"),
        pytest.param({"box": [float("nan"), 2, 3, 4]}, "box is out of range", id="nan"),
        pytest.param({"velocity": "fast"}, "velocity must be numbers", id="words"),
        pytest.param({"silhouettes": []}, "silhouettes has a wrong shape", id="no-view"),
        pytest.param({"silhouettes": [[1] * 71] * 4}, "silhouettes has a wrong shape", id="short-view"),
        pytest.param({"silhouettes": [[300] * 72] * 4}, "silhouettes is out of range", id="no-bytes"),
        pytest.param({"silhouettes": [[1] * 72] * 400}, "silhouettes has a wrong shape", id="many-views"),
        pytest.param({"areas": [1.0]}, "areas has a wrong shape", id="areas-of-other-views"),
        pytest.param({"embeddings": [[0.5]]}, "embeddings has a wrong shape", id="embeddings-of-other-views"),
        pytest.param({"embeddings": [[0.5], [1, 2], [0], [0]]}, "embeddings must be numbers", id="ragged"),
        pytest.param({"prompt": "x"}, "prompt must be an integer", id="no-number"),
        pytest.param({"step": 1.5}, "step must be an integer", id="half-a-step"),
    ],
)
def test_a_damaged_memory_is_refused_in_one_line(change, reason):
    memory = memory_of(CLICK)
    memory["click"] = None if change is None else {**memory["click"], **change}
    with pytest.raises(DataError) as caught:
        restored(memory)
    assert str(caught.value).startswith(f"the saved state of prompt 'click' is invalid ({reason})")
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(memory_of(CLICK)["click"])), JSON, max_size=3))
def test_rubbish_is_refused_or_does_no_harm(change):
    memory = memory_of(CLICK)
    memory["click"].update(change)
    try:
        run = Run(memory)
    except DataError:
        return
    assert status_of(run(frame_of(FIRST, EMBEDDINGS), CLICK)[0])[0] in ("lost", "bound")
