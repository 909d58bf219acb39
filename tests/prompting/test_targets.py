"""Targets of prompts: the frame on which they are evaluated, and steps through their hypotheses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from streamseg.prompting import PromptSet
from streamseg.prompting.history import FrameHistory, FrameRecord, record_frame
from streamseg.prompting.target import Hypothesis, Target
from streamseg.prompting.targets import Targets
from streamseg.structures.instances import TENTATIVE
from streamseg.structures.prompt import EverythingPrompt, Prompt
from tests.support.shapes import Shape
from tests.support.tracked_shapes import (
    BOTH,
    BOUND,
    BOX,
    CLICK,
    CUP,
    FPS,
    HANDLE,
    KITE,
    LOST,
    NONE,
    OTHERS,
    Objects,
    Run,
    click,
    frame_of,
    one_prompt,
    shifted,
    status_of,
)


class Frames:
    """Targets and the history."""

    def __init__(self) -> None:
        self.targets = Targets()
        self._history = FrameHistory()
        self._newest: FrameRecord | None = None
        self._given: Sequence[Prompt] = ()
        self._followed = PromptSet.of(()).followed

    def __call__(self, objects: Objects, prompts: Sequence[Prompt]) -> tuple[list[Target], dict[str, list[Hypothesis]]]:
        """Return the targets that start in the next frame, and the hypotheses of all by prompt id."""
        index = len(self._history)
        tracked = frame_of(objects)
        before, self._newest = self._newest, record_frame(tracked, index, index / FPS)
        if before is not None:
            self.targets.carry(before, self._newest)
        self._history.add(self._newest)
        if prompts is not self._given:
            self._given, self._followed = prompts, PromptSet.of(prompts).followed
        started = self.targets.synchronise(self._followed, self._newest)
        self.targets.evaluate(tracked, self._history)
        return started, {key: one.hypotheses for key, one in self.targets.by_prompt_id.items()}


# ---- one target per prompt


def test_followed_prompts_have_targets_in_order():
    still, other = click(80, 120, prompt_id="still", follow=False), click(250, 60, prompt_id="a")
    frames = Frames()
    started, hypotheses = frames(BOTH, [EverythingPrompt(), CLICK, still, other])
    assert hypotheses == {"click": [Hypothesis(1)], "a": [Hypothesis(8)]}
    assert list(hypotheses) == ["click", "a"]
    assert started == [*frames.targets.by_prompt_id.values()]


def test_targets_last_as_long_as_their_prompts():
    frames = Frames()
    both, one = [CLICK, click(250, 60, prompt_id="a")], [click(80, 120)]
    frames(BOTH, both)
    target = frames.targets.by_prompt_id["click"]
    assert frames(BOTH, both)[0] == []
    assert frames(BOTH, one)[0] == []
    assert [*frames.targets.by_prompt_id.values()] == [target]
    assert frames.targets.by_prompt_id["click"] is target
    (started,), _ = frames(BOTH, both)
    assert started.prompt.prompt_id == "a"


def test_prompts_for_one_object_share_its_hypothesis():
    prompts = [click(80, 120 + step, prompt_id=str(step)) for step in range(3)]
    frames = Frames()
    _, hypotheses = frames([(-1, CUP)], prompts)
    ((first,), *others) = hypotheses.values()
    assert first == Hypothesis(TENTATIVE, 0)
    assert all(other is first for (other,) in others)
    _, hypotheses = frames([(4, shifted(CUP, 10))], prompts)
    assert [*hypotheses.values()] == [[Hypothesis(4)]] * 3


def test_restart_drops_tentative_hypotheses():
    frames = Frames()
    prompts = [CLICK, click(BOX.x, BOX.y, prompt_id="box"), click(5, 5, prompt_id="nothing")]
    frames([(-1, CUP), (8, BOX)], prompts)
    frames.targets.restart()
    assert [one.hypotheses for one in frames.targets.by_prompt_id.values()] == [[], [Hypothesis(8)], []]
    # The former row of the cup is another object now.
    assert frames([(3, KITE), (-1, CUP)], prompts)[1]["click"] == [Hypothesis(TENTATIVE, 1)]


# ---- the frame that the sender saw


def test_click_is_evaluated_on_the_frame_its_sender_saw():
    run = Run()
    run.statuses([[(1, shifted(CUP, 30 * step)), (2, shifted(BOX, -30 * step))] for step in range(4)])
    late, current = click(80, 120, prompt_id="late", frame_index=0), click(80, 120, prompt_id="current")
    now: Objects = [(1, shifted(CUP, 120)), (2, shifted(BOX, -170, 60))]
    assert run.statuses([now, now], late, current) == [[("bound", 1), ("bound", 2)]] * 2


@pytest.mark.parametrize("frame_index", [-1, 0, 3, 99])
def test_current_frame_if_that_frame_is_not_in_the_history(frame_index: int):
    run = Run()
    run(frame_of([(2, CUP)]))
    run(frame_of(OTHERS), skip=40)  # frame 0 is too old then, and frame 3 was dropped
    late = click(80, 120, frame_index=frame_index)
    assert status_of(run(frame_of(BOTH), late)[0]) == BOUND


def test_tentative_object_is_carried_to_the_current_frame():
    run = Run()
    run.statuses([[(-1, CUP)], [(-1, shifted(CUP, 14))], [(7, shifted(CUP, 28))], [(7, shifted(CUP, 60))]])
    late = click(80, 120, frame_index=0)
    assert run.statuses([[(7, shifted(CUP, 140)), (8, CUP)]], late) == [[("bound", 7)]]


def test_object_that_has_gone_since_is_lost_and_reidentified():
    run = Run()
    run.statuses([BOTH, BOTH, OTHERS])
    late = click(80, 120, frame_index=1)
    frames = [OTHERS, *[[(2, shifted(CUP, 5)), *OTHERS]] * 2]
    assert run.statuses(frames, late) == one_prompt(LOST, LOST, ("reacquired", 2))


def test_earlier_frame_is_evaluated_once_only():
    run = Run()
    run.statuses([OTHERS, OTHERS])
    late = click(80, 120, frame_index=0)
    assert run.statuses([OTHERS, BOTH, BOTH], late) == one_prompt(NONE, BOUND, BOUND)


# ---- part and whole


PLATE = Shape(90, 120, 140, 160, "rectangle", score=0.5)
NESTED: Objects = [(1, PLATE), (2, CUP), (3, HANDLE), (8, BOX)]


def steps(run: Run, frames: list[Objects], values: list[int], **settings: object) -> list[tuple[str, int]]:
    return [
        status_of(run(frame_of(objects), click(80, 120, step=value, **settings))[0])
        for objects, value in zip(frames, values, strict=True)
    ]


@pytest.mark.parametrize(
    ("frames", "values", "ids"),
    [
        pytest.param([NESTED] * 5, [0, 1, 2, 3, 4], [3, 2, 1, 3, 2], id="part-to-whole-and-around"),
        pytest.param([NESTED] * 3, [0, 0, 1], [3, 3, 2], id="unchanged-until-the-next-step"),
        pytest.param([NESTED] * 2, [2, 1], [1, 2], id="starts-anywhere-and-goes-back"),
        pytest.param([NESTED], [7], [2], id="starts-beyond-the-last"),
        pytest.param(
            [NESTED, [(1, PLATE), (3, HANDLE)], NESTED, NESTED], [0, 1, 1, 2], [3, 1, 1, 3], id="skips-invisible"
        ),
        pytest.param(
            [NESTED, *[[(1, shifted(PLATE, 60)), (2, shifted(CUP, 60)), (3, shifted(HANDLE, 60))]] * 30],
            [0, *[0] * 29, 1],
            [3] * 30 + [2],
            id="seconds-later-elsewhere",
        ),
    ],
)
def test_steps_go_through_the_hypotheses(frames: list[Objects], values: list[int], ids: list[int]):
    assert steps(Run(), frames, values) == [("bound", track_id) for track_id in ids]


def test_step_on_a_newer_frame():
    run = Run()
    run(frame_of(NESTED), click(80, 120, frame_index=0))
    apart: Objects = [(1, shifted(PLATE, 60)), (2, shifted(CUP, 60)), (3, shifted(HANDLE, 60)), (4, CUP)]
    assert status_of(run(frame_of(apart), click(80, 120, frame_index=1, step=1))[0]) == ("bound", 2)


def test_click_on_a_newer_frame_is_another_click():
    run = Run()
    run(frame_of(NESTED), click(80, 120, frame_index=0))
    assert status_of(run(frame_of([(3, shifted(HANDLE, 90)), (4, CUP)]), click(80, 120, frame_index=1))[0]) == (
        "bound",
        4,
    )


def test_hypotheses_are_renewed_if_no_other_is_visible():
    run = Run()
    run(frame_of(NESTED), click(80, 120))
    later: Objects = [(31, shifted(PLATE, 60)), (32, shifted(CUP, 60)), (3, shifted(HANDLE, 60))]
    assert steps(run, [later] * 3, [1, 2, 3]) == [("bound", 32), ("bound", 31), ("bound", 3)]


def test_prompt_moves_with_a_stepped_object_that_goes():
    run, away = Run(), [shifted(CUP, 14 * step) for step in range(8)]
    run.statuses([[(1, cup)] for cup in away], CLICK)
    handle = (-1, shifted(HANDLE, 98))
    assert run.statuses([[(1, away[-1]), handle]], replace(CLICK, step=1)) == one_prompt(("bound", -1))
    later: list[Objects] = [[handle], [], [(7, CUP), (6, away[-1])]]
    assert run.statuses(later, replace(CLICK, step=1)) == one_prompt(("bound", -1), NONE, ("bound", 6))


def test_step_without_other_hypotheses_changes_nothing():
    assert steps(Run(), [BOTH] * 3, [0, 1, 2]) == [BOUND] * 3


def test_all_tentative_hypotheses_are_carried():
    run = Run()
    shapes = (PLATE, CUP, HANDLE)
    frames: list[Objects] = [
        [(-1, shifted(shape, 8 * step)) for shape in shapes]
        if step < 2
        else [(track_id, shifted(shape, 8 * step)) for track_id, shape in zip((11, 12, 13), shapes, strict=True)]
        for step in range(4)
    ]
    assert steps(run, frames, [0, 0, 0, 1]) == [("bound", -1), ("bound", -1), ("bound", 13), ("bound", 12)]
