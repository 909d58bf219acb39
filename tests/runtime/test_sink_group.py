"""All sinks of a run together."""

import threading

import pytest

from streamseg.errors import DataError
from streamseg.pipeline import FrameResult
from streamseg.runtime.sink_group import SinkGroup
from streamseg.runtime.sink_slot import SinkPolicy
from streamseg.telemetry import StageTimer
from tests.support.runs import BOUND_SECONDS
from tests.support.stages import ListSink, make_result

pytestmark = pytest.mark.usefixtures("no_thread_left")

DIRECT = SinkPolicy("direct", has_thread=False)


class SinkPerSource:
    """A factory that keeps its sinks."""

    def __init__(self) -> None:
        self.sinks: dict[str, ListSink] = {}
        self.num_closed = 0

    def open_sink(self, source_id: str) -> ListSink:
        self.sinks[source_id] = ListSink(policy=SinkPolicy(f"list {source_id}"))
        return self.sinks[source_id]

    def close(self) -> None:
        assert all(sink.num_closed == 1 for sink in self.sinks.values())
        self.num_closed += 1


class StuckSink(ListSink):
    """Hangs in its first write until released."""

    def __init__(self) -> None:
        super().__init__(policy=SinkPolicy("stuck", capacity=1))
        self.release = threading.Event()

    def write(self, result: FrameResult) -> None:
        self.release.wait()
        super().write(result)


def make_group(*sinks: ListSink | SinkPerSource) -> SinkGroup:
    group = SinkGroup(sinks, wait_seconds=lambda source_id: 0.0, timer=StageTimer())
    group.start()
    return group


def close(group: SinkGroup) -> None:
    for step in group.closing_steps():
        step()


def test_each_source_has_its_own_sinks_of_a_factory():
    factory, shared = SinkPerSource(), ListSink()
    group = make_group(factory, shared)
    for source_id, index in [("a", 0), ("b", 0), ("a", 1)]:
        group.write(make_result(index, source_id=source_id))
    close(group)
    assert {name: len(sink.results) for name, sink in factory.sinks.items()} == {"a": 2, "b": 1}
    assert len(shared.results) == 3
    assert factory.num_closed == 1
    assert [stats.name for stats in group.stats()] == ["sink", "list a", "list b"]


def test_hung_sink_stops_no_other():
    direct, stuck, other = ListSink(policy=DIRECT), StuckSink(), ListSink()
    group = make_group(stuck, other, direct)
    for index in range(6):
        group.write(make_result(index))
    assert len(direct.results) == 6, "written when `write` returns"
    other.wait_for(6, BOUND_SECONDS)
    stuck.release.set()
    close(group)
    assert [sink.num_closed for sink in (direct, stuck, other)] == [1, 1, 1]


def test_sink_of_a_late_source_ends_with_a_stop():
    factory = SinkPerSource()
    group = make_group(factory)
    group.stop()
    group.write(make_result())
    close(group)
    assert factory.sinks["cam"].num_closed == 1


def test_only_a_sink_without_thread_raises_at_once():
    error = DataError("broken")
    group = make_group(ListSink(policy=DIRECT, fail_at=0, error=error), other := ListSink(fail_at=0, error=error))
    with pytest.raises(DataError, match="broken"):
        group.write(make_result())
    close(group)
    group.check()
    assert other.results == []


def test_error_without_recovery_is_raised_by_check():
    error = DataError("broken")
    group = make_group(ListSink(), ListSink(fail_at=0, error=error))
    group.write(make_result())
    close(group)
    with pytest.raises(DataError, match="broken") as caught:
        group.check()
    assert caught.value is error
    assert [(stats.name, stats.state) for stats in group.stats()] == [("sink", "ok"), ("sink 2", "degraded")]


def test_group_that_never_started_closes_its_sinks():
    factory, sink = SinkPerSource(), ListSink()
    SinkGroup([factory, sink], wait_seconds=lambda source_id: 0.0, timer=StageTimer()).close_unstarted()
    assert (factory.num_closed, sink.num_closed) == (1, 1)
