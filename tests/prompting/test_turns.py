"""Targets that are left to their tracks for some frames."""

import numpy as np
import pytest

from streamseg.prompting.turns import MAX_PROPAGATED, MAX_WAITING, MIN_SETTLED, Turns

NUMBER = 20
ROWS = {f"p{row}": row for row in range(NUMBER)}
IDS = list(range(100, 100 + NUMBER))
BOXES = np.array([[50.0 * row, 0, 50.0 * row + 40, 40] for row in range(NUMBER)])


def settled(prompt_ids=ROWS):
    turns = Turns()
    turns.settle(prompt_ids, ROWS, BOXES, IDS)
    return turns


def resting(turns, *, rows=ROWS, boxes=BOXES, track_ids=IDS, num_targets=NUMBER):
    return set(turns.resting(rows, boxes, track_ids, num_targets))


@pytest.mark.parametrize("number", [1, 2, 3, 5, 12, 20])
def test_each_target_has_its_turn(number):
    chosen = list(ROWS)[:number]
    turns, last = settled(chosen), dict.fromkeys(chosen, 0)
    few = number <= MAX_PROPAGATED
    longest = 2 if few else MAX_WAITING + -(-number // MAX_PROPAGATED)
    for frame in range(1, 20):
        rests = resting(turns, num_targets=number)
        active = last.keys() - rests
        assert len(active) <= MAX_PROPAGATED
        turns.settle(active, ROWS, BOXES, IDS)
        last.update(dict.fromkeys(active, frame))
        assert min(last.values()) >= frame - longest


def test_targets_in_doubt_never_rest_and_settled_ones_have_turns_still():
    turns = settled(list(ROWS)[:8])
    resting(turns)
    assert len(resting(turns)) == 8 - MIN_SETTLED


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"rows": ROWS | {"p19": -1}}, id="not-visible"),
        pytest.param({"rows": {one: row for one, row in ROWS.items() if one != "p19"}}, id="not-followed-any-more"),
        pytest.param({"track_ids": [*IDS[:-1], 7]}, id="another-track"),
        pytest.param({"track_ids": [*IDS[:-1], -1]}, id="no-track"),
        pytest.param({"boxes": BOXES + np.eye(NUMBER)[:, -1:] * [0, 0, 200, 0]}, id="another-size"),
        pytest.param({"boxes": BOXES + np.eye(NUMBER)[:, -1:] * 30}, id="another-place"),
        pytest.param({"boxes": BOXES * (1 - np.eye(NUMBER)[:, -1:])}, id="no-area"),
    ],
)
def test_a_target_that_changes_does_not_rest(change):
    assert "p19" in resting(settled())
    assert "p19" not in resting(settled(), **change)


def test_a_target_without_a_track_id_does_not_rest():
    turns = Turns()
    turns.settle(ROWS, ROWS, BOXES, [-1] * NUMBER)
    assert not resting(turns)


def test_forgotten_targets_do_not_rest():
    turns = settled()
    turns.retain([])
    assert not resting(turns)
