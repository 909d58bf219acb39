"""What a run has done so far, told without a run."""

from __future__ import annotations

import pytest

from streamseg.config import BatchingConfig
from streamseg.errors import SourceError
from streamseg.runtime.batching import Batcher
from streamseg.runtime.mailbox import FrameQueue
from streamseg.runtime.stats import Ledger
from streamseg.telemetry import Drops, StageTimer
from tests.support.frames import make_frame
from tests.support.stages import ListSink, ScriptedSource
from tests.support.windows import bound, result

SECOND = 1_000_000_000


class DroppingSink(ListSink):
    """A sink that drops frames of its own accord."""

    def drops(self, source_id: str) -> Drops:
        return {"publish": {"slow": 2 if source_id == "cam" else 0}}


class Books:
    """A ledger, and what it looks into."""

    def __init__(self, *sources: ScriptedSource) -> None:
        by_id = {source.source_id: source for source in sources}
        live = {source.source_id: source.is_live for source in sources}
        self.timer = StageTimer()
        self.intake = FrameQueue(live, Batcher(BatchingConfig()))
        self.ledger = Ledger(by_id, self.intake, [ListSink(), DroppingSink()], self.timer)


def test_before_the_first_frame():
    figures = Books(ScriptedSource("cam", is_live=True)).ledger.figures(5 * SECOND, seconds=1.5)
    assert (figures.seconds, figures.num_frames, figures.fps, figures.is_paused) == (1.5, 0, 0.0, False)
    (source,) = figures.sources
    assert (source.state, source.error, source.silent_seconds) == ("starting", None, None)


@pytest.mark.parametrize(
    ("num_frames", "error", "has_ended", "state"),
    [
        pytest.param(0, None, False, "starting", id="nothing-yet"),
        pytest.param(1, None, False, "running", id="one-frame"),
        pytest.param(1, "no packet", False, "running", id="about-to-fail"),
        pytest.param(0, None, True, "ended", id="ended-without-a-frame"),
        pytest.param(1, None, True, "ended", id="ended"),
        pytest.param(1, "no packet", True, "failed", id="failed"),
    ],
)
def test_how_a_source_stands(num_frames: int, error: str | None, has_ended: bool, state: str):
    ledger = Books(ScriptedSource("cam"), ScriptedSource("b")).ledger
    for index in range(num_frames):
        ledger.finished(result(index), SECOND)
    if error is not None:
        ledger.failed("cam", SourceError(error))
    if has_ended:
        ledger.ended("cam")
    cam, other = ledger.figures(SECOND, seconds=1.0).sources
    assert (cam.state, cam.error) == (state, error)
    assert (other.state, other.error) == ("starting", None)


def test_frames_of_all_sources_are_one_runs():
    ledger = Books(ScriptedSource("cam"), ScriptedSource("b")).ledger
    for index in range(3):
        ledger.finished(result(index), index * SECOND // 10)
    ledger.finished(result(0, source_id="b"), 3 * SECOND // 10)
    figures = ledger.figures(SECOND // 2, seconds=1.0)
    assert (figures.num_frames, figures.num_objects) == (4, 2)
    assert figures.fps == pytest.approx(10)
    assert [(source.num_frames, source.silent_seconds) for source in figures.sources] == [
        (3, pytest.approx(0.3)),
        (1, pytest.approx(0.2)),
    ]


def test_the_first_error_comes_first():
    ledger = Books(ScriptedSource("cam"), ScriptedSource("b")).ledger
    errors = SourceError("first"), SourceError("second")
    ledger.failed("b", errors[0])
    assert ledger.errors == errors[:1]
    ledger.failed("cam", errors[1])
    assert ledger.errors == errors


def test_drops_are_those_of_the_source_the_mailbox_and_the_sinks():
    source = ScriptedSource("cam", is_live=True)
    books = Books(source)
    source.drops.count("capture", "corrupt", 7)
    for index in range(3):
        books.intake.put(make_frame(index, source_id="cam"))
    before_sinks = {"capture": {"corrupt": 7}, "mailbox": {"newer_frame": 2}}
    assert books.ledger.drops_of("cam") == before_sinks
    figures = books.ledger.figures(SECOND, seconds=1.0)
    assert figures.drops == figures.sources[0].drops == {**before_sinks, "publish": {"slow": 2}}


def test_prompts_stood_as_in_the_latest_frame():
    ledger = Books(ScriptedSource("cam"), ScriptedSource("b")).ledger
    assert ledger.prompt_statuses == {}
    ledger.finished(result(0), SECOND)
    ledger.finished(result(1, prompts=[bound()]), 2 * SECOND)
    assert ledger.prompt_statuses == {"cam": (bound(),)}


def test_stages_and_the_pause_are_told():
    books = Books(ScriptedSource("cam"))
    books.timer.add("segment", 12.0)
    books.intake.pause()
    figures = books.ledger.figures(SECOND, seconds=1.0)
    assert figures.stages_ms == {"segment": (12.0, 12.0)}
    assert figures.is_paused
