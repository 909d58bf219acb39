"""Rows of targets, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamseg.prompting.appearance import Appearance
from streamseg.prompting.history import FrameHistory, FrameRecord, record_frame
from streamseg.prompting.locate import BRIDGED_CONFIDENCE, TargetLocator
from streamseg.prompting.target import Hypothesis, Target
from streamseg.structures.instances import TENTATIVE
from tests.support.tracked_shapes import BOTH, BOX, CLICK, CUP, FPS, KITE, OTHERS, Objects, Run, click, frame_of


class Frames:
    """Targets, their locator and the history."""

    def __init__(self, **targets: Target) -> None:
        self.targets = targets
        self.locator = TargetLocator()
        self.history = FrameHistory()
        self._newest: FrameRecord | None = None
        self._num_frames = 0

    def __call__(self, *frames: Objects) -> list[list[int]]:
        """Return the row of each target, by frame."""
        rows_by_frame = []
        for objects in frames:
            before, self._newest = (
                self._newest,
                record_frame(frame_of(objects), self._num_frames, self._num_frames / FPS),
            )
            self._num_frames += 1
            self.history.add(self._newest)
            rows = self.locator.rows(self.targets, self.history, before, self._newest)
            assert list(rows) == list(self.targets)
            rows_by_frame.append([*rows.values()])
        return rows_by_frame

    def restart(self) -> None:
        self.locator.restart(self.targets.values(), self.history)
        self.history, self._newest = FrameHistory(), None


def bound(*track_ids: int) -> Target:
    return Target(CLICK, [Hypothesis(track_id) for track_id in track_ids])


@pytest.mark.parametrize(
    ("track_ids", "frames", "rows"),
    [
        pytest.param([], [BOTH] * 2, [-1, -1], id="no-hypotheses"),
        pytest.param([9], [BOTH, [(9, KITE)], BOTH], [2, 0, 2], id="visible"),
        pytest.param([1], [BOTH, OTHERS, BOTH], [0, -1, 0], id="lost-and-found-by-track-id"),
        pytest.param([1], [BOTH, OTHERS, *[[*OTHERS, (2, CUP)]] * 3], [0, -1, -1, 2, 2], id="reidentified"),
        pytest.param([1], [[(1, CUP)], [(-1, CUP)], [(2, CUP)]], [0, 0, 0], id="bridged"),
        pytest.param([1, 8], [BOTH, *[OTHERS] * 14], [0, *[-1] * 9, *[0] * 5], id="spurious-then-the-next"),
    ],
)
def test_row_of_one_target(track_ids: Sequence[int], frames: Sequence[Objects], rows: list[int]):
    assert Frames(click=bound(*track_ids))(*frames) == [[row] for row in rows]


def test_prompts_with_one_target_are_reidentified_together():
    frames = Frames(a=bound(1), box=bound(8), b=bound(1))
    assert frames(BOTH, *[OTHERS] * 2, *[[(2, CUP), *OTHERS]] * 2)[-1] == [0, 1, 0]
    assert [one.matched_id for one in frames.targets.values()] == [2, TENTATIVE, 2]
    assert frames.targets["a"].confidence == frames.targets["b"].confidence < 1


def test_bridge_with_a_track_id_lowers_the_confidence_once():
    frames = Frames(click=bound(1))
    frames([(1, CUP)], [(-1, CUP)])
    target = frames.targets["click"]
    assert (target.matched_id, target.bridge) == (TENTATIVE, Hypothesis(TENTATIVE, 0))
    frames([(2, CUP)], [(2, CUP)])
    assert (target.matched_id, target.bridge, target.confidence) == (2, None, BRIDGED_CONFIDENCE)


# ---- known by appearance alone


def appearance_of(objects: Objects, track_id: int) -> Appearance:
    record = record_frame(frame_of(objects), 0, 0.0)
    return Appearance.of([(record, record.rows[track_id])])


def test_targets_of_an_earlier_run_have_placeholder_ids():
    frames = Frames(cup=Target(CLICK), box=Target(click(BOX.x, BOX.y, prompt_id="box")))
    frames.locator.search_for(frames.targets["cup"], appearance_of(BOTH, 1))
    frames.locator.search_for(frames.targets["box"], appearance_of(BOTH, 8))
    keys = [one.hypotheses[0].track_id for one in frames.targets.values()]
    assert max(keys) < TENTATIVE
    assert len(set(keys)) == 2
    assert frames(*[[(4, KITE), (5, CUP), (6, BOX)]] * 2) == [[-1, -1], [1, 2]]


def test_same_track_id_after_a_restart_is_another_object():
    frames = Frames(cup=bound(1), nothing=Target(CLICK))
    frames(*[BOTH] * 5)
    frames.restart()
    assert frames.targets["nothing"].hypotheses == []
    assert frames(*[[(1, BOX), (2, KITE), (3, CUP)]] * 2) == [[-1, -1], [2, -1]]
    assert frames.targets["cup"].matched_id == 3


def test_log_odds_of_all_rows():
    frames = Frames(cup=bound(1), unknown=bound(5), nothing=Target(CLICK))
    cup, unknown, nothing = frames.targets.values()
    assert frames.locator.log_odds(cup) is None, "there is no frame yet"
    frames(*[[(1, CUP), (9, KITE)]] * 5)
    same, other = frames.locator.log_odds(cup)
    assert same > other
    frames([(9, KITE), (2, CUP)])
    other, same = frames.locator.log_odds(cup)
    assert same > other
    assert [frames.locator.log_odds(one) for one in (unknown, nothing)] == [None, None]
    frames.restart()
    assert frames.locator.log_odds(cup) is None


# ---- bridges


def test_new_track_in_the_place_of_a_lost_one_is_selected():
    """A tracker that loses an object starts another track, which has no track id for some frames."""
    run = Run()
    states = []
    for objects in ([(1, CUP)], [(1, CUP)], [(-1, CUP)], [(-1, CUP)], [(2, CUP)], [(2, CUP)]):
        (selection,) = run(frame_of(objects), CLICK)
        assert selection.status is not None
        assert selection.rows == (0,)
        states.append((selection.status.state, selection.status.track_id))
    assert states == [*[("bound", 1)] * 4, *[("reacquired", 2)] * 2]


def test_known_other_object_is_no_bridge():
    run = Run()
    run(frame_of([(1, CUP), (2, CUP)]), CLICK)
    (selection,) = run(frame_of([(2, CUP)]), CLICK)
    assert selection.rows == ()
    assert selection.status is not None
    assert selection.status.state == "lost"


def test_lost_bridge_leaves_the_target_lost_until_its_own_track_returns():
    run = Run()
    states = []
    for objects in ([(1, CUP)], [(-1, CUP)], OTHERS, [(1, CUP)]):
        (selection,) = run(frame_of(objects), CLICK)
        assert selection.status is not None
        states.append((selection.status.state, selection.status.confidence))
    assert states == [("bound", 1.0), ("bound", 0.5), ("lost", 0.0), ("bound", 1.0)]
