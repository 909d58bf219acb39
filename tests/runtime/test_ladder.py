from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.config import DegradationConfig
from streamseg.runtime.ladder import HEADROOM, LONGEST_BACKOFF, Ladder, degradation_steps
from streamseg.structures.degradation import NO_DEGRADATION, Degradation

AFTER, RECOVER = 2.0, 10.0
COSTS = (1.0, 0.7, 0.45, 0.25, 0.2)
"""Cost of a frame at each step, relative to the configured quality."""


class Change(NamedTuple):
    seconds: float
    step: int


def changes_of(
    load_at: Callable[[float, int], float], seconds: float, *, fps: float = 20.0, num_steps: int = len(COSTS)
) -> list[Change]:
    """Run a ladder; `load_at`: load of a frame by its time and step. Return all steps with their beginnings."""
    ladder = Ladder(num_steps, after_seconds=AFTER, recover_seconds=RECOVER)
    changes = [Change(0.0, 0)]
    for nth in range(round(seconds * fps)):
        now = nth / fps
        if ladder.observe(load_at(now, ladder.step), round(now * 1e9)):
            changes.append(Change(now, ladder.step))
    return changes


def plant(demand: float) -> Callable[[float, int], float]:
    """A machine on which a frame costs `demand` deadlines at full quality."""
    return lambda now, step: demand * COSTS[step]


def mean_step(changes: list[Change], seconds: float) -> float:
    ends = [*(change.seconds for change in changes[1:]), seconds]
    return sum(change.step * (end - change.seconds) for change, end in zip(changes, ends, strict=True)) / seconds


@pytest.mark.parametrize(
    ("load_at", "seconds", "steps"),
    [
        pytest.param(plant(0.99), 60, [0], id="just-in-time"),
        pytest.param(plant(1.3), 60, [0, 1], id="one-step-suffices"),
        pytest.param(plant(5.0), 60, [0, 1, 2, 3, 4], id="five-times-too-slow"),
        pytest.param(lambda now, step: 9.0 if 5 < now < 5.9 else 0.9, 60, [0], id="hiccup"),
        pytest.param(lambda now, step: 0.9 if round(now * 20) % 20 else 9.0, 60, [0], id="one-late-frame-a-second"),
        pytest.param(
            lambda now, step: 0.9 if round(now * 20) % 5 else 1.1, 12, [0, 1, 2, 3, 4], id="every-fifth-is-late"
        ),
        pytest.param(lambda now, step: 3.0 if now < 5 else 0.1, 60, [0, 1, 2, 1, 0], id="back-when-the-load-is-gone"),
        pytest.param(lambda now, step: 3.0 if now < 5 else 0.8, 600, [0, 1, 2], id="stays-without-headroom"),
    ],
)
def test_steps(load_at: Callable[[float, int], float], seconds: float, steps: list[int]):
    assert [change.step for change in changes_of(load_at, seconds)] == steps


@pytest.mark.parametrize("fps", [0.5, 1, 5, 60])
def test_time_and_not_the_number_of_frames_decides(fps: float):
    changes = changes_of(lambda now, step: 3.0, 60, fps=fps)
    assert changes[-1].step == len(COSTS) - 1
    assert changes[1].seconds == pytest.approx(AFTER, abs=4 / fps)


def test_trial_that_fails_is_repeated_ever_more_rarely():
    """Step 1 has much headroom, but step 0 does not fit: without back-off it would alternate every 12 s."""
    changes = changes_of(lambda now, step: 0.3 if step else 1.5, 3600)
    trials = [change.seconds for change in changes[1:] if change.step == 0]
    gaps = [later - earlier for earlier, later in pairwise(trials)]
    assert all(later > earlier - 0.1 for earlier, later in pairwise(gaps))
    assert gaps[-1] == pytest.approx(LONGEST_BACKOFF * RECOVER + AFTER, abs=1)
    assert len(trials) < 30


def test_back_off_ends_with_a_trial_that_succeeds():
    overloads = ((0, 600), (800, 803))
    changes = changes_of(
        lambda now, step: (0.3 if step else 1.5) if any(a <= now < b for a, b in overloads) else 0.1, 900
    )
    last_step, last_trial = changes[-2:]
    assert (last_step.step, last_trial.step) == (1, 0)
    assert last_trial.seconds - last_step.seconds == pytest.approx(RECOVER, abs=0.1)


loads = st.lists(st.tuples(st.floats(0.2, 20), st.floats(0, 20)), min_size=1, max_size=12)
"""Demand on the machine: duration in seconds and load at full quality."""


def demand_at(phases: list[tuple[float, float]], now: float) -> float:
    for seconds, demand in phases:
        if now < seconds:
            return demand
        now -= seconds
    return 0.0


@pytest.mark.slow
@given(loads)
def test_never_alternates_faster_than_its_times(phases: list[tuple[float, float]]):
    seconds = sum(duration for duration, _ in phases) + 60
    changes = changes_of(lambda now, step: demand_at(phases, now) * COSTS[step], seconds, fps=10)
    for before, after in pairwise(changes):
        assert abs(after.step - before.step) == 1
        assert after.seconds - before.seconds >= (AFTER if after.step > before.step else RECOVER) - 1e-6


@pytest.mark.slow
@given(loads)
def test_always_climbs_back_when_the_load_is_gone(phases: list[tuple[float, float]]):
    busy_seconds = sum(duration for duration, _ in phases)
    seconds = busy_seconds + RECOVER * (LONGEST_BACKOFF + len(COSTS)) + 5
    assert changes_of(lambda now, step: demand_at(phases, now) * COSTS[step], seconds, fps=4)[-1].step == 0


@pytest.mark.slow
@given(st.floats(0, 10), st.floats(0, 10))
def test_more_load_is_never_answered_by_more_quality(one: float, other: float):
    """Mean over 15 minutes at a constant load, because better steps are tried now and then."""
    less, more = sorted((one, other))
    means = [mean_step(changes_of(plant(load), 900, fps=3), 900) for load in (less, more)]
    assert means[0] <= means[1] + 0.25
    deepest = [max(change.step for change in changes_of(plant(load), 100, fps=3)) for load in (less, more)]
    assert deepest[0] <= deepest[1]


@given(st.floats(0, 10))
def test_settles_at_a_step_that_fits_or_at_the_last(demand: float):
    step = changes_of(plant(demand), 40, fps=5)[-1].step
    assert demand * COSTS[step] <= 1 or step == len(COSTS) - 1
    assert step == 0 or demand * COSTS[step - 1] > HEADROOM, "no lower than necessary"


def test_ladder_with_one_step_never_changes():
    assert changes_of(lambda now, step: 100.0, 100, num_steps=1) == [Change(0.0, 0)]


# ---- steps


class Offering:
    """A segmenter that offers some degradations."""

    def __init__(self, *, plain: bool = True, scales: bool = True) -> None:
        self._plain, self._scales = plain, scales

    def offers(self, degradation: Degradation) -> bool:
        return self._scales if degradation.imgsz_scale != 1 else self._plain


@pytest.mark.parametrize(
    ("values", "segmenter", "expected"),
    [
        pytest.param(
            {},
            Offering(),
            ["plain masks", *(f"plain masks, imgsz x {scale}" for scale in (0.75, 0.5)),
             *(f"plain masks, imgsz x 0.5, one frame in {nth}" for nth in (2, 4))],
            id="defaults",
        ),
        pytest.param(
            {"imgsz_scales": [0.5], "every_nth": [3]}, Offering(plain=False),
            ["imgsz x 0.5", "imgsz x 0.5, one frame in 3"], id="no-refiner",
        ),
        pytest.param(
            {"every_nth": [3]}, Offering(scales=False), ["plain masks", "plain masks, one frame in 3"], id="fixed-size"
        ),
        pytest.param({"every_nth": [3]}, object(), ["one frame in 3"], id="another-segmenter"),
        pytest.param({"plain_masks": False, "imgsz_scales": [], "every_nth": []}, Offering(), [], id="none"),
        pytest.param({"enabled": False}, Offering(), [], id="disabled"),
    ],
)  # fmt: skip
def test_steps_of_a_configuration(values: dict[str, object], segmenter: object, expected: list[str]):
    steps = degradation_steps(DegradationConfig.model_validate(values), segmenter)
    assert [str(step) for step in steps] == ["full quality", *expected]
    assert [step.step for step in steps] == list(range(len(steps)))
    assert steps[0] == NO_DEGRADATION
