"""What a follower writes down, while it goes on and while others read."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence

import pytest

from streamseg.errors import DataError
from streamseg.prompting.appearance import Appearance, Galleries
from streamseg.prompting.history import FrameHistory, record_frame
from streamseg.prompting.state import SavedTargets
from streamseg.prompting.target import Hypothesis, Target
from streamseg.structures.instances import TENTATIVE
from tests.support.tracked_shapes import BOTH, BOX, CLICK, CUP, FPS, KITE, Objects, Run, click, frame_of, shifted

EMBEDDINGS = {1: (1, 0, 0), 2: (0, 1, 0), 3: (0, 0, 1)}
FIRST: Objects = [(1, CUP), (2, BOX), (3, KITE)]


def seen_in(frames: Sequence[Objects]) -> FrameHistory:
    history = FrameHistory()
    for index, objects in enumerate(frames):
        history.add(record_frame(frame_of(objects), index, index / FPS))
    return history


def written(*targets: Target, frames: Sequence[Objects] = (BOTH,) * 3) -> dict[str, object]:
    saved = SavedTargets({})
    saved.update(targets, seen_in(frames), Galleries())
    return saved.state_dict()


def centre_x(entry: object) -> float:
    assert isinstance(entry, dict)
    return (entry["box"][0] + entry["box"][2]) / 2


def test_what_is_written_is_taken_once_by_the_prompt_that_it_is_of():
    memory = json.loads(json.dumps(written(Target(CLICK, [Hypothesis(1)]))))
    saved = SavedTargets(memory)
    appearance = saved.pop(CLICK)
    assert appearance is not None
    assert (appearance.box[0] + appearance.box[2]) / 2 == pytest.approx(CUP.x, abs=1)
    assert saved.pop(CLICK) is None
    assert SavedTargets(memory).pop(click(CUP.x, CUP.y, prompt_id="other")) is None


@pytest.mark.parametrize(
    "prompt",
    [pytest.param(click(1, 1), id="another-place"), pytest.param(click(CUP.x, CUP.y, step=1), id="another-step")],
)
def test_what_was_of_another_prompt_of_the_id_is_let_go(prompt):
    saved = SavedTargets(written(Target(CLICK, [Hypothesis(1)])))
    assert saved.pop(prompt) is None
    assert saved.pop(CLICK) is None


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(Target(CLICK), id="bound-to-nothing"),
        pytest.param(Target(CLICK, [Hypothesis(TENTATIVE, 0)]), id="no-identity-yet"),
        pytest.param(Target(CLICK, [Hypothesis(77)]), id="never-seen"),
    ],
)
def test_what_was_not_seen_is_not_written(target: Target):
    assert written(target) == {}


def test_an_object_is_written_as_it_was_found_again_and_else_as_it_was():
    frames = [BOTH, [(2, shifted(CUP, 100))]]
    found = Target(CLICK, [Hypothesis(1)], matched_id=2)
    assert centre_x(written(found, frames=frames)["click"]) == pytest.approx(CUP.x + 100, abs=1)
    record = record_frame(frame_of(BOTH), 0, 0.0)
    earlier = Target(CLICK, [Hypothesis(-5)], appearance=Appearance.of([(record, 0)]))
    assert centre_x(written(earlier, frames=[])["click"]) == pytest.approx(CUP.x, abs=1)


def test_what_was_not_taken_yet_is_handed_on():
    memory = written(Target(CLICK, [Hypothesis(1)]))
    saved = SavedTargets(memory)
    assert saved.state_dict() == memory
    other = click(BOX.x, BOX.y, prompt_id="box")
    saved.update([Target(other, [Hypothesis(8)])], seen_in([BOTH]), Galleries())
    assert saved.state_dict() == {**memory, **written(Target(other, [Hypothesis(8)]), frames=[BOTH])}


def test_what_is_read_does_not_change_before_it_is_written_anew():
    saved = SavedTargets(written(Target(CLICK, [Hypothesis(1)])))
    saved.pop(CLICK)
    assert list(saved.state_dict()) == ["click"]
    saved.update([], seen_in([BOTH]), Galleries())
    assert saved.state_dict() == {}


def test_a_damaged_memory_is_refused():
    with pytest.raises(DataError, match="the saved state of prompt 'click' is invalid"):
        SavedTargets({"click": 3})


def test_another_thread_never_finds_half_of_it():
    prompts = [click(CUP.x, CUP.y, prompt_id=f"p{number}") for number in range(30)]
    run, stop, memories = Run(), threading.Event(), []
    run(frame_of(FIRST, EMBEDDINGS), *prompts)

    def ask() -> None:
        while not stop.is_set():
            memories.append(set(run.tracker.state_dict()))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for number in range(150):
            # Other prompts come and go, so that the bindings are made anew each time.
            run(frame_of(FIRST, EMBEDDINGS), *prompts, click(BOX.x, BOX.y, prompt_id=f"other {number}"))
            if number % 50 == 49:
                run.tracker.restart()
    finally:
        stop.set()
        asking.join()
        sys.setswitchinterval(before)
    assert memories
    wanted = {prompt.prompt_id for prompt in prompts}
    assert all(wanted <= names and len(names) <= len(wanted) + 1 for names in memories)
