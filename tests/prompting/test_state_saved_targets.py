"""Saved targets, while they change and while another thread reads them."""

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


def history_of(frames: Sequence[Objects]) -> FrameHistory:
    history = FrameHistory()
    for index, objects in enumerate(frames):
        history.add(record_frame(frame_of(objects), index, index / FPS))
    return history


def saved_state(*targets: Target, frames: Sequence[Objects] = (BOTH,) * 3) -> dict[str, object]:
    saved = SavedTargets({})
    saved.update(targets, history_of(frames), Galleries())
    return saved.state_dict()


def centre_x(entry: object) -> float:
    assert isinstance(entry, dict)
    return (entry["box"][0] + entry["box"][2]) / 2


def test_saved_target_is_returned_once_to_its_prompt():
    state = json.loads(json.dumps(saved_state(Target(CLICK, [Hypothesis(1)]))))
    saved = SavedTargets(state)
    appearance = saved.pop(CLICK)
    assert appearance is not None
    assert (appearance.box[0] + appearance.box[2]) / 2 == pytest.approx(CUP.x, abs=1)
    assert saved.pop(CLICK) is None
    assert SavedTargets(state).pop(click(CUP.x, CUP.y, prompt_id="other")) is None


@pytest.mark.parametrize(
    "prompt",
    [pytest.param(click(1, 1), id="another-location"), pytest.param(click(CUP.x, CUP.y, step=1), id="another-step")],
)
def test_saved_target_of_another_prompt_of_the_id_is_dropped(prompt):
    saved = SavedTargets(saved_state(Target(CLICK, [Hypothesis(1)])))
    assert saved.pop(prompt) is None
    assert saved.pop(CLICK) is None


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(Target(CLICK), id="no-hypotheses"),
        pytest.param(Target(CLICK, [Hypothesis(TENTATIVE, 0)]), id="tentative"),
        pytest.param(Target(CLICK, [Hypothesis(77)]), id="never-seen"),
    ],
)
def test_target_that_was_not_seen_is_not_saved(target: Target):
    assert saved_state(target) == {}


def test_latest_appearance_is_saved():
    frames = [BOTH, [(2, shifted(CUP, 100))]]
    reidentified = Target(CLICK, [Hypothesis(1)], matched_id=2)
    assert centre_x(saved_state(reidentified, frames=frames)["click"]) == pytest.approx(CUP.x + 100, abs=1)
    record = record_frame(frame_of(BOTH), 0, 0.0)
    earlier = Target(CLICK, [Hypothesis(-5)], appearance=Appearance.of([(record, 0)]))
    assert centre_x(saved_state(earlier, frames=[])["click"]) == pytest.approx(CUP.x, abs=1)


def test_targets_not_loaded_yet_are_saved_again():
    state = saved_state(Target(CLICK, [Hypothesis(1)]))
    saved = SavedTargets(state)
    assert saved.state_dict() == state
    other = click(BOX.x, BOX.y, prompt_id="box")
    saved.update([Target(other, [Hypothesis(8)])], history_of([BOTH]), Galleries())
    assert saved.state_dict() == {**state, **saved_state(Target(other, [Hypothesis(8)]), frames=[BOTH])}


def test_state_changes_only_with_the_next_update():
    saved = SavedTargets(saved_state(Target(CLICK, [Hypothesis(1)])))
    saved.pop(CLICK)
    assert list(saved.state_dict()) == ["click"]
    saved.update([], history_of([BOTH]), Galleries())
    assert saved.state_dict() == {}


def test_invalid_state_is_rejected():
    with pytest.raises(DataError, match="the saved state of prompt 'click' is invalid"):
        SavedTargets({"click": 3})


@pytest.mark.slow
def test_another_thread_never_reads_half_an_update():
    prompts = [click(CUP.x, CUP.y, prompt_id=f"p{number}") for number in range(30)]
    run, stop, states = Run(), threading.Event(), []
    run(frame_of(FIRST, EMBEDDINGS), *prompts)

    def read() -> None:
        while not stop.is_set():
            states.append(set(run.tracker.state_dict()))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(150):
            # Another prompt is replaced in each frame, so that the targets are synchronised each time.
            run(frame_of(FIRST, EMBEDDINGS), *prompts, click(BOX.x, BOX.y, prompt_id=f"other {number}"))
            if number % 50 == 49:
                run.tracker.restart()
    finally:
        stop.set()
        reader.join()
        sys.setswitchinterval(before)
    assert states
    expected = {prompt.prompt_id for prompt in prompts}
    assert all(expected <= names and len(names) <= len(expected) + 1 for names in states)
