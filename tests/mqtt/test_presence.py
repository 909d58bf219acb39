"""Presence of followed objects: seen, lost, back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.mqtt.presence import Presence, PresenceBook
from streamseg.structures.message import Message, PromptStatus
from tests.support.messages import disc, make_message, make_object

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def frame(state: str | None, seconds: float, *, has_object: bool = True, source_id: str = "cam0") -> Message:
    """A frame with the prompt `cup` in one state; None: the prompt is not in force."""
    found = make_object(disc(8), 16, 12, prompt_ids=("everything", "cup"))
    is_there = state in ("bound", "reacquired") and has_object
    prompts = () if state is None else (PromptStatus("cup", state, 0.9 if is_there else 0.0, track_id=7),)
    stamp = START + round(seconds * SECOND)
    message = make_message(*([found] if is_there else []), prompts=prompts, captured_ns=stamp)
    return replace(message, source_id=source_id)


@pytest.mark.parametrize(
    ("frames", "state", "since"),
    [
        pytest.param([("none", 0)], "unknown", 0, id="nothing found yet"),
        pytest.param([("none", 0), ("none", 5)], "unknown", 0, id="still nothing found"),
        pytest.param([("bound", 0)], "seen", 0, id="seen"),
        pytest.param([("none", 0), ("bound", 3)], "seen", 3, id="seen later"),
        pytest.param([("bound", 0), ("bound", 3)], "seen", 0, id="still seen"),
        pytest.param([("bound", 0), ("lost", 1.9)], "seen", 0, id="behind a passer-by"),
        pytest.param([("bound", 0), ("bound", 1), ("lost", 3)], "lost", 1, id="lost since it was last visible"),
        pytest.param([("bound", 0), ("lost", 3), ("lost", 9)], "lost", 0, id="still lost"),
        pytest.param([("bound", 0), ("lost", 3), ("reacquired", 5)], "back", 5, id="back"),
        pytest.param([("bound", 0), ("lost", 3), ("bound", 5), ("bound", 6)], "back", 5, id="still back"),
        pytest.param([("bound", 0), ("none", 3)], "lost", 0, id="the search ended"),
        pytest.param([("bound", 0), ("lost", -3600)], "lost", 0, id="the clock was set back"),
    ],
)
def test_state_and_time_of_the_change(frames, state, since):
    book = PresenceBook(2 * SECOND)
    for status, seconds in frames:
        book.update(frame(status, seconds))
    presence = book.snapshot()["cam0"]["cup"]
    assert presence.state == state
    assert presence.since_ns == START + since * SECOND


def test_place_is_a_share_of_the_image_and_stays_while_the_object_is_lost():
    book = PresenceBook(0)
    book.update(frame("bound", 0))
    seen = book.snapshot()["cam0"]["cup"]
    assert seen.centroid == (20 / 64, round(16 / 48, 4))
    assert seen.box == (0.25, 0.25, 0.375, round(20 / 48, 4))
    assert seen.confidence == 0.9
    book.update(frame("lost", 1))
    lost = book.snapshot()["cam0"]["cup"]
    assert (lost.centroid, lost.box, lost.confidence) == (seen.centroid, seen.box, 0.0)


def test_a_prompt_whose_object_is_not_in_the_message_is_not_visible():
    book = PresenceBook(0)
    book.update(frame("bound", 0, has_object=False))
    assert not book.snapshot()["cam0"]["cup"].is_visible


def test_sources_are_independent_and_prompts_not_in_force_are_forgotten():
    book = PresenceBook(0)
    book.update(frame("bound", 0))
    book.update(frame("none", 1, source_id="cam1"))
    assert {source: list(prompts) for source, prompts in book.snapshot().items()} == {"cam0": ["cup"], "cam1": ["cup"]}
    book.update(frame(None, 2))
    assert book.snapshot()["cam0"] == {}
    book.forget("cam0")
    book.forget("unknown")
    assert list(book.snapshot()) == ["cam1"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["bound", "lost", "reacquired", "none"]), st.integers(0, 3)), min_size=1, max_size=30
    )
)
def test_back_follows_lost_and_lost_follows_presence(steps):
    book, before, seconds = PresenceBook(2 * SECOND), Presence(), 0
    for state, elapsed in steps:
        seconds += elapsed
        book.update(frame(state, seconds))
        after = book.snapshot()["cam0"]["cup"]
        allowed = {"unknown": {"unknown", "seen"}, "seen": {"seen", "lost"}, "lost": {"lost", "back"}}
        assert after.state in allowed.get(before.state, {"back", "lost"})
        assert after.since_ns is not None
        assert after.is_visible or state not in ("bound", "reacquired")
        before = after
