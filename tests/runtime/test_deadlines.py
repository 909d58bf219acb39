import logging

import pytest

from streamseg.config import BatchingConfig, DegradationConfig
from streamseg.runtime.deadlines import Deadlines, SourceLimits
from streamseg.structures.degradation import NO_DEGRADATION, Degradation

MS = 1_000_000
LIMITS = SourceLimits(deadline_ns=100 * MS)
STEPS = (NO_DEGRADATION, Degradation(1, plain_masks=True), Degradation(2, plain_masks=True, every_nth=2))


def finish(
    deadlines: Deadlines,
    now_ms: float,
    duration_ms: float,
    *,
    source_id: str = "a",
    degradation: Degradation = NO_DEGRADATION,
    lag_ms: float = 0.0,
    limits: SourceLimits = LIMITS,
) -> None:
    """A frame whose message is made at `now_ms`; it was taken as soon as it had arrived."""
    started_ns = round((now_ms - duration_ms) * MS)
    deadlines.finished(
        source_id,
        degradation,
        taken_ns=started_ns,
        received_ns=started_ns,
        lag_ns=round(lag_ms * MS),
        limits=limits,
        now_ns=round(now_ms * MS),
    )


@pytest.mark.parametrize(
    ("waited_ms", "lag_ms", "deadline_ms", "duration_ms", "attempted_ms", "is_dropped"),
    [
        pytest.param(10, 0, 100, 50, 95, False, id="in-time"),
        pytest.param(60, 0, 100, 50, 95, True, id="will-miss-it"),
        pytest.param(10, 60, 100, 50, 95, True, id="old-when-it-arrived"),
        pytest.param(60, 0, 100, 0, 95, False, id="duration-unknown"),
        pytest.param(60, 0, 100, 50, -900, False, id="one-attempt-a-second"),
        pytest.param(60, 0, 100, 50, None, False, id="first-attempt"),
        pytest.param(60, 0, None, 5000, 95, False, id="without-a-deadline"),
    ],
)
def test_frame_that_will_miss_its_deadline(
    waited_ms: float,
    lag_ms: float,
    deadline_ms: float | None,
    duration_ms: float,
    attempted_ms: float | None,
    is_dropped: bool,
):
    deadlines = Deadlines(BatchingConfig())
    limits = SourceLimits(None if deadline_ms is None else round(deadline_ms * MS))
    if attempted_ms is not None:
        deadlines.taken(["a"], round(attempted_ms * MS))
    if duration_ms:
        finish(deadlines, 90, duration_ms, limits=limits)
    assert deadlines.will_miss("a", waited_ms * MS, lag_ms * MS, limits, 100 * MS) is is_dropped


@pytest.mark.parametrize(
    ("waited_ms", "age_ms", "deadline_ms", "is_late"),
    [
        pytest.param(100, 100, 100, False, id="just-in-time"),
        pytest.param(50, 101, 100, True, id="its-age-counts"),
        pytest.param(999, 5000, None, False, id="max-age-is-since-the-arrival"),
        pytest.param(1001, 1001, None, True, id="max-age"),
    ],
)
def test_frame_that_has_missed_its_deadline(waited_ms: float, age_ms: float, deadline_ms: float | None, is_late: bool):
    limits = SourceLimits(None if deadline_ms is None else round(deadline_ms * MS))
    deadlines = Deadlines(BatchingConfig())
    assert deadlines.is_too_late("a", waited_ms * MS, age_ms * MS, limits, period_ns=0) is is_late


def test_slow_machine_does_not_fall_silent():
    deadlines, free = Deadlines(BatchingConfig()), SourceLimits()
    for nth in range(20):
        finish(deadlines, 1500 * nth, 1500, limits=free)
    assert not deadlines.is_too_late("a", 1600 * MS, 1600 * MS, free, period_ns=0)
    assert deadlines.is_too_late("a", 3100 * MS, 3100 * MS, free, period_ns=0)
    assert deadlines.is_too_late("a", 1600 * MS, 1600 * MS, SourceLimits(1000 * MS), period_ns=0), "a deadline is one"


def test_slow_camera_is_not_starved():
    deadlines = Deadlines(BatchingConfig())
    assert not deadlines.is_too_late("a", 1100 * MS, 1100 * MS, SourceLimits(), period_ns=600 * MS)


def test_prediction_follows_the_stages_of_each_source():
    deadlines = Deadlines(BatchingConfig())
    deadlines.taken(["a", "b"], 1000 * MS)
    finish(deadlines, 100, 200, source_id="b")
    finish(deadlines, 100, 100)
    for nth in range(60):
        finish(deadlines, 101 + nth, 10)
    assert not deadlines.will_miss("a", 5 * MS, 0, LIMITS, 1001 * MS)
    assert deadlines.will_miss("b", 5 * MS, 0, LIMITS, 1001 * MS)


# ---- reduced quality


def overload(deadlines: Deadlines, start_ms: float, seconds: float, *, load: float = 2.0, lag_ms: float = 0.0) -> float:
    """Finish 20 frames a second, each at the present quality; return the time of the end in ms."""
    for nth in range(round(seconds * 20)):
        now_ms = start_ms + 50 * (nth + 1)
        degradation = deadlines.degradation("a")
        finish(deadlines, now_ms, load * (100 - lag_ms), degradation=degradation, lag_ms=lag_ms)
    return start_ms + seconds * 1000


def with_steps() -> Deadlines:
    return Deadlines(BatchingConfig(), steps=STEPS, degradation=DegradationConfig(after_seconds=2, recover_seconds=10))


def test_lasting_overload_reduces_the_quality_step_by_step(caplog: pytest.LogCaptureFixture):
    deadlines = with_steps()
    caplog.set_level(logging.WARNING)
    end_ms = overload(deadlines, 0, 1.9)
    assert deadlines.degradation("a") == NO_DEGRADATION
    end_ms = overload(deadlines, end_ms, 0.5)
    assert deadlines.degradation("a") == STEPS[1]
    end_ms = overload(deadlines, end_ms, 10)
    assert deadlines.degradation("a") == STEPS[2]
    end_ms = overload(deadlines, end_ms, 30, load=0.1)
    assert deadlines.degradation("a") == NO_DEGRADATION
    assert deadlines.degradation("b") == NO_DEGRADATION
    assert [record.getMessage() for record in caplog.records] == [
        "a: quality step 1 of 2 (plain masks) for its deadline of 100 ms",
        "a: quality step 2 of 2 (plain masks, one frame in 2) for its deadline of 100 ms",
        "a: quality step 1 of 2 (plain masks) for its deadline of 100 ms",
        "a: quality step 0 of 2 (full quality) for its deadline of 100 ms",
    ]


@pytest.mark.parametrize(
    ("limits", "lag_ms"),
    [
        pytest.param(SourceLimits(), 0, id="no-deadline"),
        pytest.param(LIMITS, 100, id="too-late-on-arrival: no step would help"),
    ],
)
def test_quality_is_not_reduced_without_need(limits: SourceLimits, lag_ms: float):
    deadlines = with_steps()
    for nth in range(400):
        finish(deadlines, 50 * nth, 300, limits=limits, lag_ms=lag_ms)
    assert deadlines.degradation("a") == NO_DEGRADATION


def test_delay_of_the_network_is_no_load():
    """20 ms are left on arrival, and 8 ms are needed."""
    deadlines = with_steps()
    overload(deadlines, 0, 20, load=0.4, lag_ms=80)
    assert deadlines.degradation("a") == NO_DEGRADATION


def test_new_step_is_judged_by_its_own_frames():
    """Frames of the former step that are still on their way count neither as load nor as duration."""
    deadlines = with_steps()
    end_ms = overload(deadlines, 0, 2.5)
    assert deadlines.degradation("a") == STEPS[1]
    for nth in range(100):
        finish(deadlines, end_ms + 50 * nth, 500, degradation=NO_DEGRADATION)
    assert deadlines.degradation("a") == STEPS[1]
    assert not deadlines.will_miss("a", 50 * MS, 0, LIMITS, round((end_ms + 5001) * MS))


def test_hopeless_frames_count_as_load():
    """Frames dropped before the network are the only ones left if all are hopeless."""
    deadlines = with_steps()
    finish(deadlines, 0, 500)
    deadlines.taken(["a"], 0)
    for nth in range(1, 60):
        now_ns = 50 * nth * MS
        if deadlines.degradation("a").step:
            break
        if not deadlines.will_miss("a", 10 * MS, 0, LIMITS, now_ns):
            deadlines.taken(["a"], now_ns)
    assert deadlines.degradation("a") == STEPS[1]


def test_ended_source_starts_at_full_quality_when_it_returns():
    deadlines = with_steps()
    overload(deadlines, 0, 3)
    deadlines.end_source("a")
    assert deadlines.degradation("a") == NO_DEGRADATION
