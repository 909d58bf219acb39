"""Records of statistics, in words and as JSON."""

from __future__ import annotations

import json
import math

import pytest

from streamseg.runtime.stats import Ages, RunStats, SourceStats, describe_drops
from streamseg.telemetry import Drops


@pytest.mark.parametrize(
    ("drops", "words"),
    [
        pytest.param({}, "drops 0", id="none"),
        pytest.param({"mailbox": {}}, "drops 0", id="no-reason"),
        pytest.param(
            {"capture": {"corrupt": 1}, "mailbox": {"newer_frame": 3, "paused": 2}},
            "drops 6 (capture corrupt 1, mailbox newer_frame 3, mailbox paused 2)",
            id="by-stage-and-reason",
        ),
    ],
)
def test_describe_drops(drops: Drops, words: str):
    assert describe_drops(drops) == words


def stats(ages: Ages) -> RunStats:
    source = SourceStats("cam", "live", None, 3, 0.1, 1.0, ages, "camera", 2, {"mailbox": {"newer_frame": 1}})
    return RunStats(
        seconds=2.0,
        num_frames=3,
        fps=1.5,
        recent_fps=1.0,
        ages=ages,
        num_objects=2,
        drops=source.drops,
        stages_ms={"track": (1.0, math.nan)},
        is_paused=False,
        sources=(source,),
    )


def test_stats_as_one_line():
    line = str(stats(Ages(40.4, 55.5, 99.9)))
    assert line == "3 frames, 1.5 fps, age p50 40 p95 56 p99 100 ms, drops 1 (mailbox newer_frame 1)"
    assert "age -" in str(stats(Ages()))


def test_json_is_null_for_unknown_values():
    values = json.loads(json.dumps(stats(Ages()).as_json(), allow_nan=False))
    assert values["ages"] == {"p50_ms": None, "p95_ms": None, "p99_ms": None}
    assert values["stages_ms"] == {"track": [1.0, None]}
    assert values["sources"][0]["drops"] == {"mailbox": {"newer_frame": 1}}
