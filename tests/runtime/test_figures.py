import json
import math

import pytest

from streamseg.runtime.figures import Ages, Meter, Rate, RunStats, SourceStats, describe_drops
from streamseg.structures.message import Message
from streamseg.telemetry import Drops
from tests.support.frames import make_frame

SECOND = 1_000_000_000


def message(age_ms: float = 10.0) -> Message:
    frame = make_frame()
    return Message(
        source_id=frame.source_id,
        frame_index=0,
        captured_ns=0,
        clock="camera",
        age_ms=age_ms,
        image_size=frame.size,
        mask_size=frame.size,
        mask_to_image=(1, 1, 0, 0),
        objects=(),
    )


@pytest.mark.parametrize(
    ("stamps", "now", "fps"),
    [
        pytest.param([], 5.0, 0.0, id="nothing"),
        pytest.param([1.0], 1.0, 0.0, id="one-event-has-no-rate"),
        pytest.param([0.0, 0.1, 0.2], 0.2, 10.0, id="n-events-are-n-minus-1-intervals"),
        pytest.param([0.0, 0.1, 0.2], 0.3, 10.0, id="next-event-not-due"),
        pytest.param([0.0, 0.1, 0.2], 1.3, 2 / 1.2, id="falls-while-nothing-comes"),
        pytest.param([0.0, 0.1, 0.2], 10.0, 0.0, id="long-ago"),
        pytest.param([0.0, *(5 + n / 10 for n in range(11))], 6.0, 10.0, id="only-of-late"),
        pytest.param([1.0, 1.0], 1.0, 1e9, id="at-once"),
    ],
)
def test_rate(stamps: list[float], now: float, fps: float):
    rate = Rate()
    for stamp in stamps:
        rate.add(round(stamp * SECOND))
    assert rate.at(round(now * SECOND)) == pytest.approx(fps)


def test_a_meter_counts_from_the_first_frame_to_the_last():
    meter = Meter()
    assert (meter.fps, meter.num_frames, meter.clock, meter.silent_seconds(SECOND)) == (0.0, 0, None, None)
    assert math.isnan(meter.ages.p50_ms)
    for nth in range(101):
        meter.add(message(age_ms=nth), 7 * SECOND + nth * SECOND // 25)
    assert meter.fps == pytest.approx(25)
    assert meter.ages == Ages(50, 95, 99)
    assert meter.clock == "camera"
    assert meter.silent_seconds(13 * SECOND) == pytest.approx(2)


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


def figures(ages: Ages) -> RunStats:
    source = SourceStats("cam", "running", None, 3, 0.1, 1.0, ages, "camera", 2, {"mailbox": {"newer_frame": 1}})
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


def test_the_last_line():
    line = str(figures(Ages(40.4, 55.5, 99.9)))
    assert line == "3 frames, 1.5 fps, age p50 40 p95 56 p99 100 ms, drops 1 (mailbox newer_frame 1)"
    assert "age -" in str(figures(Ages()))


def test_figures_as_json_hold_null_for_what_is_unknown():
    values = json.loads(json.dumps(figures(Ages()).as_json(), allow_nan=False))
    assert values["ages"] == {"p50_ms": None, "p95_ms": None, "p99_ms": None}
    assert values["stages_ms"] == {"track": [1.0, None]}
    assert values["sources"][0]["drops"] == {"mailbox": {"newer_frame": 1}}
