from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.config import BatchingConfig
from streamseg.runtime.batching import ArrivalPeriod, Batcher, Decision, MailboxState
from streamseg.runtime.deadlines import Deadlines, SourceLimits
from streamseg.structures.degradation import NO_DEGRADATION

MS = 1_000_000


def live(source_id: str, ready_ms: float | None = None, received_ms: float | None = None) -> MailboxState:
    """State of a camera; `ready_ms`: time since which a frame waits."""
    if ready_ms is None:
        return MailboxState(source_id, is_live=True)
    received_ns = round((ready_ms if received_ms is None else received_ms) * MS)
    return MailboxState(source_id, is_live=True, num_ready=1, since_ns=round(ready_ms * MS), received_ns=received_ns)


def file(source_id: str, num_ready: int = 0, ready_ms: float = 0.0) -> MailboxState:
    return MailboxState(source_id, is_live=False, num_ready=num_ready, since_ns=round(ready_ms * MS))


def batcher(*, learned: dict[str, tuple[float, float]] | None = None, **settings: float) -> Batcher:
    """`learned`: period and time of the last arrival, in ms, by source id."""
    made = Batcher(BatchingConfig.model_validate({"deadline_ms": 20, **settings}))
    for source_id, (period_ms, last_ms) in (learned or {}).items():
        for nth in reversed(range(20)):
            made.record_arrival(source_id, round((last_ms - nth * period_ms) * MS))
    return made


@pytest.mark.parametrize(
    ("arrivals_ms", "period_ms"),
    [
        pytest.param([], None, id="no-arrival"),
        pytest.param([0, 33, 66], None, id="too-few"),
        pytest.param([33 * n for n in range(10)], 33, id="regular"),
        pytest.param([0, 5, 10, 15, 400, 405, 410, 415, 800], 100, id="bursts-by-span-over-count"),
        pytest.param([0, 1, 2, 3, 4, 5, 6, 7, 5000], None, id="interruption-resets"),
        pytest.param([5000.0] * 9, 0, id="simultaneous"),
    ],
)
def test_period_is_span_over_count(arrivals_ms: list[float], period_ms: float | None):
    period = ArrivalPeriod()
    for arrival_ms in arrivals_ms:
        period.add(round(arrival_ms * MS))
    assert period.period_ns == (None if period_ms is None else pytest.approx(period_ms * MS))


def test_period_follows_a_change_of_rate():
    period = ArrivalPeriod()
    for nth in range(100):
        period.add(nth * 100 * MS)
    for nth in range(64):
        period.add((9900 + nth * 10) * MS)
    assert period.period_ns == pytest.approx(10 * MS)


@pytest.mark.parametrize(
    ("sources", "learned", "now_ms", "expected"),
    [
        pytest.param([], {}, 0, Decision(), id="no-source"),
        pytest.param([live("a"), file("f")], {}, 0, Decision(), id="nothing-ready"),
        pytest.param([live("a", 100)], {"a": (33, 100)}, 100, Decision(take=("a",)), id="single-source-goes-at-once"),
        pytest.param([live("a", 100), live("b")], {}, 100, Decision(take=("a",)), id="unknown-period-not-awaited"),
        pytest.param(
            [live("a", 100), live("b")],
            {"b": (33, 70)},
            100,
            Decision(wait_until_ns=round((70 + 33 * 1.5) * MS)),
            id="other-is-due-before-deadline",
        ),
        pytest.param(
            [live("a", 100), live("b")], {"b": (33, 95)}, 100, Decision(take=("a",)), id="other-is-due-after-deadline"
        ),
        pytest.param(
            [live("a", 100), live("b")], {"b": (100, 10)}, 100, Decision(wait_until_ns=120 * MS), id="until-deadline"
        ),
        pytest.param([live("a", 100), live("b")], {"b": (100, 10)}, 120, Decision(take=("a",)), id="deadline-reached"),
        pytest.param(
            [live("a", 100), live("b")], {"b": (33, 40)}, 100, Decision(take=("a",)), id="pausing-not-awaited"
        ),
        pytest.param(
            [live("a", 101), live("b", 100)], {}, 102, Decision(take=("b", "a")), id="both-ready-longest-waiting-first"
        ),
        pytest.param(
            [live("a", 100), live("b"), live("c")],
            {"b": (33, 68), "c": (33, 71)},
            100,
            Decision(wait_until_ns=120 * MS),
            id="several-awaited-until-the-last-is-given-up",
        ),
        pytest.param([file("f", 2), file("g")], {}, 0, Decision(take=("f", "f")), id="several-frames-of-a-file"),
        pytest.param(
            [file("f", 2, 0), file("g", 2, 1)], {}, 5, Decision(take=("f", "g", "f", "g")), id="files-take-turns"
        ),
        pytest.param([file("f", 2), live("a")], {}, 5, Decision(take=("f",)), id="one-file-frame-next-to-a-camera"),
        pytest.param(
            [file("f", 1, 100), live("a")],
            {"a": (33, 70)},
            100,
            Decision(wait_until_ns=round(119.5 * MS)),
            id="file-waits",
        ),
    ],
)
def test_decisions(
    sources: list[MailboxState], learned: dict[str, tuple[float, float]], now_ms: float, expected: Decision
):
    assert batcher(learned=learned).decide(sources, round(now_ms * MS)) == expected


def test_full_batch_does_not_wait():
    decision = batcher(learned={"c": (33, 70)}, max_batch=2).decide(
        [live("a", 100), live("b", 99), live("c")], 100 * MS
    )
    assert decision == Decision(take=("b", "a"))


def test_deadline_zero_never_waits():
    decision = batcher(learned={"b": (33, 67.5)}, deadline_ms=0).decide([live("a", 100), live("b")], 100 * MS)
    assert decision.take == ("a",)


@pytest.mark.parametrize(
    ("source", "learned", "is_dropped"),
    [
        pytest.param(live("a", 0, received_ms=101), {}, False, id="young-enough"),
        pytest.param(live("a", 0, received_ms=99), {}, True, id="too-old"),
        pytest.param(live("a", 1100, received_ms=99), {}, True, id="age-counts-from-arrival"),
        pytest.param(live("a", 0, received_ms=99), {"a": (600, 99)}, False, id="slow-camera-is-not-starved"),
        pytest.param(live("a", 0, received_ms=99), {"a": (33, 99)}, True, id="fast-camera-that-stalls"),
        pytest.param(file("f", 1, -5000), {}, False, id="files-are-never-dropped"),
    ],
)
def test_old_frames_are_dropped(source: MailboxState, learned: dict[str, tuple[float, float]], is_dropped: bool):
    decision = batcher(learned=learned, max_age_ms=1000).decide([source], 1100 * MS)
    assert decision == (Decision(drop=(source.source_id,)) if is_dropped else Decision(take=(source.source_id,)))


def test_ended_source_is_not_awaited():
    made = batcher(learned={"b": (33, 70)})
    made.end_source("b")
    assert made.decide([live("a", 100), live("b")], 100 * MS) == Decision(take=("a",))


def test_more_sources_than_fit_are_served_in_turn():
    """Every source always has a frame; with 8 sources and 3 places none waits for more than ceil(8 / 3) rounds."""
    made = batcher(max_batch=3)
    since_ms = {f"cam{n}": 0 for n in range(8)}
    for now_ms in range(1, 30):
        states = [live(name, since, received_ms=now_ms) for name, since in since_ms.items()]
        take = made.decide(states, now_ms * MS).take
        assert len(take) == 3
        since_ms.update(dict.fromkeys(take, now_ms))
        assert now_ms - min(since_ms.values()) <= 3


sources_strategy = st.lists(
    st.builds(
        lambda name, is_live, num_ready, since: MailboxState(
            name, is_live, min(num_ready, 1) if is_live else num_ready, since, since
        ),
        st.sampled_from("abcdefgh"),
        st.booleans(),
        st.integers(0, 4),
        st.integers(0, 50 * MS),
    ),
    unique_by=lambda source: source.source_id,
    max_size=8,
)


@pytest.mark.slow
@given(
    sources=sources_strategy,
    now_ns=st.integers(50 * MS, 100 * MS),
    periods=st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.integers(1, 200), st.integers(0, 50))),
    max_batch=st.integers(1, 6),
    deadline_ms=st.integers(0, 80),
)
def test_decision_is_sound(
    sources: list[MailboxState], now_ns: int, periods: dict[str, tuple[int, int]], max_batch: int, deadline_ms: int
):
    made = batcher(learned=dict(periods), max_batch=max_batch, deadline_ms=deadline_ms)
    decision = made.decide(sources, now_ns)
    by_id = {source.source_id: source for source in sources}
    assert len(decision.take) <= max_batch
    for source_id in decision.take:
        assert decision.take.count(source_id) <= by_id[source_id].num_ready
        if by_id[source_id].is_live:
            assert decision.take.count(source_id) == 1
    ready = [source for source in sources if source.num_ready]
    if decision.wait_until_ns is not None:
        assert not decision.take
        assert now_ns < decision.wait_until_ns <= min(source.since_ns for source in ready) + deadline_ms * MS
    elif ready:
        assert decision.take
        left_out = [source.since_ns for source in ready if source.source_id not in decision.take]
        taken = [by_id[source_id].since_ns for source_id in decision.take]
        assert all(since_ns >= max(taken) for since_ns in left_out)


# ---- deadlines and weights of sources


def limited(
    source_id: str, ready_ms: float, *, lag_ms: float = 0.0, deadline_ms: float | None = None, weight: float = 1.0
) -> MailboxState:
    limits = SourceLimits(None if deadline_ms is None else round(deadline_ms * MS), weight=weight)
    return replace(live(source_id, ready_ms), lag_ns=round(lag_ms * MS), limits=limits)


def test_frame_that_will_miss_its_deadline_is_dropped_before_the_network():
    deadlines = Deadlines(BatchingConfig())
    made = Batcher(BatchingConfig(deadline_ms=0), deadlines)
    limits = SourceLimits(100 * MS)
    assert made.decide([limited("a", 0, deadline_ms=100)], 0).take == ("a",)
    deadlines.finished("a", NO_DEGRADATION, taken_ns=0, received_ns=0, lag_ns=0, limits=limits, now_ns=50 * MS)
    assert made.decide([limited("a", 60, deadline_ms=100)], 120 * MS) == Decision(drop=("a",))
    assert made.decide([limited("a", 60, deadline_ms=100)], 100 * MS) == Decision(take=("a",))


def shares(weights: dict[str, float], *, num_batches: int = 400) -> dict[str, int]:
    """Number of frames that each source gets if one frame fits in a batch, and all always have one."""
    made, since_ns, counts = batcher(max_batch=1, deadline_ms=0), dict.fromkeys(weights, 0), dict.fromkeys(weights, 0)
    for nth in range(1, num_batches + 1):
        now_ns = nth * 10 * MS
        sources = [
            replace(limited(name, 0, weight=weight), since_ns=since_ns[name], received_ns=now_ns)
            for name, weight in weights.items()
        ]
        (taken,) = made.decide(sources, now_ns).take
        since_ns[taken] = now_ns
        counts[taken] += 1
    return counts


def test_shares_are_equal_or_follow_the_weights():
    assert shares({"a": 1, "b": 1, "c": 1, "d": 1}) == dict.fromkeys("abcd", 100)
    weighted = shares({"a": 3, "b": 1, "c": 1})
    assert weighted["a"] > 1.5 * weighted["b"]
    assert weighted["b"] == pytest.approx(weighted["c"], abs=2)
    assert weighted["b"] > 40, "nobody starves"
