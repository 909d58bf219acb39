"""Statuses of prompts over time, from the click to the re-identification of a lost target."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.prompting.target import GRACE_FRAMES, GRACE_SECONDS
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, SpatialPrompt
from streamseg.synthetic import SceneRenderer
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
    scene_frame,
    shifted,
    status_of,
)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([BOTH] * 2, one_prompt(BOUND, BOUND), id="bound-while-visible"),
        pytest.param([[]] * 2, one_prompt(NONE, NONE), id="no-objects"),
        pytest.param([OTHERS, BOTH], one_prompt(NONE, BOUND), id="waits-for-the-first-match"),
        pytest.param(
            [BOTH, [(1, shifted(CUP, 40)), *OTHERS], [(1, shifted(CUP, 100)), *OTHERS]],
            one_prompt(BOUND, BOUND, BOUND),
            id="follows-its-target",
        ),
        pytest.param(
            [BOTH, [(1, shifted(CUP, 60)), (2, CUP), *OTHERS]],
            one_prompt(BOUND, BOUND),
            id="not-another-object-at-the-place",
        ),
        pytest.param([BOTH, OTHERS, OTHERS], one_prompt(BOUND, LOST, LOST), id="lost-among-known-others"),
        pytest.param([BOTH, OTHERS, BOTH], one_prompt(BOUND, LOST, BOUND), id="found-by-the-tracker"),
        pytest.param(
            [BOTH, OTHERS, *[[(2, CUP), *OTHERS]] * 3],
            one_prompt(BOUND, LOST, LOST, ("reacquired", 2), ("reacquired", 2)),
            id="new-track-at-its-place",
        ),
        pytest.param(
            [BOTH, OTHERS, *[[(2, CUP), *OTHERS]] * 2, OTHERS, [(2, CUP)]],
            one_prompt(BOUND, LOST, LOST, ("reacquired", 2), ("lost", 2), ("reacquired", 2)),
            id="reacquired-while-that-track-is-visible",
        ),
        pytest.param(
            [BOTH, OTHERS, *[[(2, CUP), *OTHERS]] * 2, [(1, shifted(CUP, 30)), (2, CUP)]],
            one_prompt(BOUND, LOST, LOST, ("reacquired", 2), BOUND),
            id="own-track-takes-precedence",
        ),
        pytest.param(
            [BOTH, OTHERS, *[[(2, Shape(80, 120, 8, 140, "rectangle")), *OTHERS]] * 4],
            one_prompt(BOUND, LOST, LOST, LOST, LOST, LOST),
            id="another-shape-at-its-place",
        ),
        pytest.param(
            [BOTH, OTHERS, *[[(2, shifted(CUP, -12)), (3, shifted(CUP, 12)), *OTHERS]] * 4],
            one_prompt(BOUND, LOST, LOST, LOST, LOST, LOST),
            id="two-alike",
        ),
        pytest.param(
            [BOTH, OTHERS, [(2, CUP)], OTHERS, [(2, CUP)], OTHERS],
            one_prompt(BOUND, LOST, LOST, LOST, LOST, LOST),
            id="one-frame-is-not-enough",
        ),
    ],
)
def test_statuses_of_a_click(frames: list[Objects], expected: list[list[tuple[str, int]]]):
    assert Run().statuses(frames, CLICK) == expected


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param(
            [[(-1, CUP)], [(-1, shifted(CUP, 15))], [(4, shifted(CUP, 30))], [(4, shifted(CUP, 90))]],
            one_prompt(("bound", -1), ("bound", -1), ("bound", 4), ("bound", 4)),
            id="carried-until-it-has-a-track-id",
        ),
        pytest.param(
            [[(-1, HANDLE), (1, CUP)], [(1, CUP)], [(1, CUP)]],
            one_prompt(("bound", -1), BOUND, BOUND),
            id="lost-while-tentative-then-the-next-larger",
        ),
        pytest.param(
            [[(-1, CUP)], [], [(2, CUP)]],
            one_prompt(("bound", -1), NONE, ("bound", 2)),
            id="lost-while-tentative-then-evaluated-again",
        ),
        pytest.param(
            [[(-1, shifted(CUP, 12 * step))] for step in range(6)]
            + [[], [(2, CUP)], [(2, CUP), (3, shifted(CUP, 66))]],
            [*one_prompt(("bound", -1)) * 6, *one_prompt(NONE, NONE, ("bound", 3))],
            id="carried-then-evaluated-at-its-last-location",
        ),
        pytest.param(
            [[(-1, CUP), (5, shifted(CUP, 24))], [(5, CUP)], [(5, CUP)]],
            one_prompt(("bound", -1), ("bound", 5), ("bound", 5)),
            id="known-track-is-another-object-but-may-be-selected",
        ),
    ],
)
def test_tentative_object(frames: list[Objects], expected: list[list[tuple[str, int]]]):
    assert Run().statuses(frames, click(76, 120)) == expected


# ---- the search for a first match ends


AWAY: Objects = [(1, shifted(CUP, 150)), *OTHERS]
"""The cup is not where the click was."""


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param(
            [AWAY] * (GRACE_FRAMES - 1) + [BOTH] * 2,
            [NONE] * (GRACE_FRAMES - 1) + [BOUND] * 2,
            id="found-in-the-last-frame-of-the-grace",
        ),
        pytest.param(
            [AWAY] * GRACE_FRAMES + [BOTH] * 20, [NONE] * (GRACE_FRAMES + 20), id="what-comes-later-is-not-selected"
        ),
        pytest.param(
            [[]] * GRACE_FRAMES + [[(-1, CUP)], BOTH], [NONE] * (GRACE_FRAMES + 2), id="nor-in-an-empty-image"
        ),
        pytest.param(
            [[(-1, CUP)], *[AWAY] * GRACE_FRAMES, [(2, CUP)]],
            [("bound", -1), *[NONE] * GRACE_FRAMES, ("bound", 2)],
            id="a-weak-object-may-return-for-longer",
        ),
        pytest.param(
            [[(-1, CUP)], *[AWAY] * (1 + int(GRACE_SECONDS * FPS)), *[[(2, CUP)]] * 3],
            [("bound", -1), *[NONE] * (1 + int(GRACE_SECONDS * FPS)), *[NONE] * 3],
            id="but-not-for-ever",
        ),
        pytest.param(
            [BOTH, *[OTHERS] * 40, BOTH], [BOUND, *[LOST] * 40, BOUND], id="a-target-with-a-track-id-is-never-given-up"
        ),
    ],
)
def test_grace(frames: list[Objects], expected: list[tuple[str, int]]):
    box = BoxPrompt("box", (50, 75, 110, 165))
    assert Run().statuses(frames, CLICK) == one_prompt(*expected)
    assert Run().statuses(frames, box) == one_prompt(*expected)


def test_abandoned_prompt_is_evaluated_again_if_it_is_given_again():
    run, other = Run(), click(BOX.x, BOX.y, prompt_id="other")
    run.statuses([AWAY] * GRACE_FRAMES, CLICK)
    assert run.statuses([BOTH], CLICK, other) == [[NONE, ("bound", 8)]], "another prompt arrives"
    assert run.statuses([BOTH], click(CUP.x, CUP.y), other) == [[BOUND, ("bound", 8)]]


def test_no_search_region_for_an_abandoned_box():
    run, box = Run(), BoxPrompt("box", (10, 200, 40, 230))
    boxes = []
    for _ in range(GRACE_FRAMES + 1):
        run(frame_of(BOTH), box)
        boxes.append(run.tracker.box(box))
    assert boxes == [box.box] * (GRACE_FRAMES - 1) + [None] * 2


@pytest.mark.parametrize(
    ("score", "state"),
    [
        pytest.param(0.0, NONE, id="no-evidence"),
        pytest.param(0.049, NONE, id="below"),
        pytest.param(0.051, BOUND, id="above"),
    ],
)
@pytest.mark.parametrize("prompt", [CLICK, BoxPrompt("box", (50, 75, 110, 165))], ids=["click", "box"])
def test_candidate_without_a_score_is_no_object(prompt: SpatialPrompt, score: float, state: tuple[str, int]):
    weak: Objects = [(1, replace(CUP, score=score)), *OTHERS]
    assert Run().statuses([weak] * 3, prompt) == one_prompt(state, state, state)


@pytest.mark.parametrize("seed", [3, 4])
def test_clicks_on_background_of_the_scene_select_nothing_that_passes(seed: int):
    """Objects and masks are the ground truth of the rendered scene."""
    renderer = SceneRenderer(320, 180, num_objects=8, seed=seed, fps=5)
    truths = [renderer.truth(index) for index in range(60)]
    covered = np.stack([sum((mask.full((180, 320)) for mask in truth.masks), np.zeros((180, 320))) for truth in truths])
    is_passed = (covered[:GRACE_FRAMES].sum(axis=0) == 0) & (covered[GRACE_FRAMES:].sum(axis=0) > 0)
    places = np.argwhere(is_passed)[:: max(int(is_passed.sum()) // 40, 1)]
    assert len(places) >= 40, "objects pass there later"
    prompts = [click(x + 0.5, y + 0.5, prompt_id=f"{x},{y}") for y, x in places]
    run = Run()
    for truth in truths:
        statuses = [status_of(one) for one in run(scene_frame(truth), *prompts)]
        assert statuses == [NONE] * len(prompts)


def test_confidence():
    run = Run()
    confidences = []
    for objects in ([(-1, CUP)], BOTH, OTHERS, *[[(2, CUP), *OTHERS]] * 2, OTHERS, *[[(3, CUP), *OTHERS]] * 2):
        (selection,) = run(frame_of(objects), CLICK)
        assert selection.status is not None
        confidences.append(selection.status.confidence)
        assert selection.scores == ((selection.status.confidence,) if selection.rows else ())
    tentative, bound, lost, undecided, reacquired, lost_again, _, again = confidences
    assert (bound, lost, undecided, lost_again) == (1.0, 0.0, 0.0, 0.0)
    assert 0 < tentative < bound
    assert 0.5 < reacquired < bound
    assert again < reacquired


# ---- other prompts


def test_unfollowed_prompt_is_evaluated_in_each_frame():
    still = click(80, 120, follow=False)
    frames: list[Objects] = [BOTH, [(1, shifted(CUP, 100)), (2, CUP)], [(1, shifted(CUP, 100))], []]
    assert Run().statuses(frames, still) == one_prompt(("bound", 1), ("bound", 2), NONE, NONE)


def test_everything_has_no_status():
    selection = Run()(frame_of(BOTH), EverythingPrompt())[0]  # type: ignore[arg-type]
    assert (selection.rows, selection.status) == ((0, 1, 2), None)


def test_box_follows():
    box = BoxPrompt("box", (50, 75, 110, 165))
    frames: list[Objects] = [BOTH, [(1, shifted(CUP, 120)), (2, CUP)], OTHERS]
    assert Run().statuses(frames, box) == one_prompt(BOUND, BOUND, LOST)


def test_changed_prompt_is_evaluated_afresh():
    run = Run()
    assert run.statuses([BOTH], CLICK) == [[BOUND]]
    assert run.statuses([BOTH], click(BOX.x, BOX.y)) == [[("bound", 8)]]
    assert run.statuses([BOTH], click(5, 5)) == [[NONE]]
    assert run.statuses([BOTH]) == [[]]
    assert run.statuses([[(1, BOX)]], CLICK) == [[NONE]], "the target was dropped with its prompt"


def test_background_point_vetoes():
    ring = PointPrompt("click", ((80, 150), (80, 120)), (1, 0))
    assert Run().statuses([[(1, CUP), (2, HANDLE)]], ring) == [[NONE]]


# ---- tracks that start afresh


def test_targets_are_reidentified_by_appearance_after_a_restart():
    run = Run()
    prompts = [CLICK, click(BOX.x, BOX.y, prompt_id="box"), click(5, 5, prompt_id="nothing")]
    run.statuses([BOTH] * 5, *prompts)
    run.tracker.restart()
    # The same track ids belong to other objects.
    swapped: Objects = [(1, BOX), (8, KITE), (9, shifted(CUP, 3))]
    assert run.statuses([swapped] * 3, *prompts) == [
        [("lost", -1), ("lost", -1), NONE],
        [("reacquired", 9), ("reacquired", 1), NONE],
        [("reacquired", 9), ("reacquired", 1), NONE],
    ]


def test_two_restarts_while_lost():
    run = Run()
    run.statuses([BOTH, BOTH, OTHERS], CLICK)
    for _ in range(2):
        run.tracker.restart()
        assert run.statuses([OTHERS] * 2, CLICK) == one_prompt(("lost", -1), ("lost", -1))
    assert run.statuses([[(5, CUP), *OTHERS]] * 2, CLICK)[-1] == [("reacquired", 5)]


def test_restart_before_the_first_match():
    run = Run()
    run.tracker.restart()
    assert run.statuses([[(-1, CUP)]], CLICK) == [[("bound", -1)]]
    run.tracker.restart()
    assert run.statuses([BOTH], CLICK) == [[BOUND]], "a tentative object is evaluated again"


# ---- properties


SCRIPT: list[Objects] = [
    [(1, CUP), (2, BOX), (3, HANDLE)],
    [(1, shifted(CUP, 10)), (2, BOX), (3, shifted(HANDLE, 10)), (-1, KITE)],
    [(2, BOX), (4, KITE)],
    [(2, BOX), (4, KITE), (5, shifted(CUP, 24))],
    [(2, BOX), (4, KITE), (5, shifted(CUP, 26)), (6, shifted(HANDLE, 26))],
    [(2, BOX), (5, shifted(CUP, 28)), (6, shifted(HANDLE, 28))],
    [(5, shifted(CUP, 30)), (6, shifted(HANDLE, 30))],
]
PROMPTS = [CLICK, click(80, 155, prompt_id="cup"), click(250, 60, prompt_id="box"), click(180, 195, prompt_id="kite")]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_order_of_rows_does_not_matter(data: st.DataObject):
    run, shuffled = Run(), Run()
    for objects in SCRIPT:
        frame = frame_of(objects)
        order = data.draw(st.permutations(range(len(frame))))
        selections = run(frame, *PROMPTS)
        others = shuffled(frame[torch.tensor(order)], *PROMPTS)
        assert [one.status for one in selections] == [one.status for one in others]
        assert [one.rows for one in selections] == [tuple(order[row] for row in one.rows) for one in others]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, len(SCRIPT) - 1), min_size=len(PROMPTS), max_size=len(PROMPTS)))
def test_prompts_are_independent(begins: list[int]):
    together = Run()
    alone = [Run() for _ in PROMPTS]
    for index, objects in enumerate(SCRIPT):
        active = [prompt for prompt, begin in zip(PROMPTS, begins, strict=True) if begin <= index]
        selections = {one.prompt_id: one for one in together(frame_of(objects), *active)}
        for run, prompt, begin in zip(alone, PROMPTS, begins, strict=True):
            single = run(frame_of(objects), *([prompt] if begin <= index else []))
            assert single == ([selections[prompt.prompt_id]] if begin <= index else [])


def test_a_thousand_prompts():
    prompts = [
        click(*place, prompt_id=f"{name}{number}")
        for number, (name, place) in zip(
            range(1000), itertools.cycle({"cup": (80, 155), "box": (250, 60), "handle": (80, 120)}.items())
        )
    ]
    statuses = Run().statuses(SCRIPT, *prompts)
    single = Run().statuses(SCRIPT, *prompts[:3])
    assert statuses == [frame * 333 + frame[:1] for frame in single]
