"""When a run is alive, and when it is ready."""

import pytest

from streamseg.metrics.health import FIRST_FRAME_SECONDS, STUCK_SECONDS, liveness, readiness
from streamseg.runtime import RunStats
from tests.support.run_stats import run_stats, source_stats

LATER = STUCK_SECONDS + 1
MUCH_LATER = FIRST_FRAME_SECONDS + 1
NOTHING_YET = {"num_frames": 0, "silent_seconds": None}


@pytest.mark.parametrize(
    ("stats", "is_alive", "is_ready", "reason"),
    [
        pytest.param(None, True, False, "starting", id="before the run"),
        pytest.param(run_stats(source_stats()), True, True, "ok", id="live"),
        pytest.param(run_stats(source_stats(state="frozen")), True, True, "ok", id="frozen image"),
        pytest.param(run_stats(source_stats(state="ended")), True, True, "ok", id="file at its end"),
        pytest.param(
            run_stats(source_stats(state="waiting", silent_seconds=MUCH_LATER)),
            True, False, "no source delivers: cam0 waiting", id="only camera away",
        ),
        pytest.param(
            run_stats(source_stats(state="denied", **NOTHING_YET), source_stats("cam1")), True, True, "ok",
            id="one of two",
        ),
        pytest.param(
            run_stats(source_stats(**NOTHING_YET, state_seconds=FIRST_FRAME_SECONDS - 1)),
            True, False, "no source delivers: cam0 live", id="network compiles",
        ),
        pytest.param(
            run_stats(source_stats(**NOTHING_YET, state_seconds=MUCH_LATER)),
            False, False, "frames arrive and are not finished: cam0", id="never a frame",
        ),
        pytest.param(
            run_stats(source_stats("cam1"), source_stats(silent_seconds=LATER, state_seconds=LATER)),
            False, False, "frames arrive and are not finished: cam0", id="stuck",
        ),
        pytest.param(
            run_stats(source_stats(silent_seconds=LATER, state_seconds=1.0)), True, True, "ok", id="has just returned"
        ),
        pytest.param(
            run_stats(source_stats(silent_seconds=LATER, state_seconds=LATER), is_paused=True), True, True, "ok",
            id="paused",
        ),
    ],
)  # fmt: skip
def test_health(stats: RunStats | None, is_alive: bool, is_ready: bool, reason: str):
    alive, ready = liveness(stats), readiness(stats)
    assert (alive.is_ok, ready.is_ok) == (is_alive, is_ready)
    assert reason in (alive.reason, ready.reason)
