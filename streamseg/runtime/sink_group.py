"""All sinks of a run. The publisher comes first and waits for no other sink."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from streamseg.pipeline import FrameResult
from streamseg.runtime.sink_health import SinkStats
from streamseg.runtime.sink_runner import SinkRunner
from streamseg.runtime.sink_slot import DEFAULT_POLICY, HasPolicy, SinkPolicy
from streamseg.runtime.workers import Sink, SinkFactory
from streamseg.telemetry import StageTimer

__all__ = ["FILE_WAIT_SECONDS", "MIXED_WAIT_SECONDS", "SinkGroup"]

FILE_WAIT_SECONDS = 5.0
"""Maximum wait of a file's frame for the slot of a sink, which then misses the frame."""
MIXED_WAIT_SECONDS = 0.2
"""The same if the run has live sources, whose frames would wait, too."""


class SinkGroup:
    """Writes each result to every sink: first to those without a thread, then to the slots of the others.

    Args:
        sinks: the sinks, and factories of sinks per source; their order decides among sinks without a thread.
        wait_seconds: returns how long a frame of a source may wait for room in a slot.
        timer: measures the writes of each sink.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        sinks: Sequence[Sink | SinkFactory],
        *,
        wait_seconds: Callable[[str], float],
        timer: StageTimer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wait_seconds = wait_seconds
        self._timer = timer
        self._clock = clock
        self._factories = tuple(sink for sink in sinks if isinstance(sink, SinkFactory))
        self._sinks: tuple[Sink, ...] = tuple(sink for sink in sinks if not isinstance(sink, SinkFactory))
        self._direct = tuple(sink for sink in self._sinks if not _policy(sink).has_thread)
        self._lock = threading.Lock()
        self._is_stopped = False
        self._names: set[str] = set()
        self._shared = tuple(self._runner(sink) for sink in self._sinks if _policy(sink).has_thread)
        self._by_source: dict[str, tuple[SinkRunner, ...]] = {}
        """Runners of the factories' sinks, from the first result of a source."""
        self._closing: tuple[SinkRunner, ...] = ()
        """Runners of removed sources that have not closed yet."""

    def start(self) -> None:
        """Start the threads."""
        for runner in self._shared:
            runner.start()

    def write(self, result: FrameResult) -> None:
        """Write one result; an exception of a sink without a thread is raised. Used by one thread."""
        for sink in self._direct:
            sink.write(result)
        source_id = result.frame.source_id
        runners = (*self._shared, *self._runners_of(source_id))
        if runners:
            wait_seconds = self._wait_seconds(source_id)
            for runner in runners:
                runner.offer(result, wait_seconds=wait_seconds)

    def remove_source(self, source_id: str) -> None:
        """End the sinks of a source after its last result: each closes in its thread. Used by the thread of `write`."""
        with self._lock:
            runners = self._by_source.pop(source_id, ())
            for runner in runners:
                runner.end()
            ended = [runner for runner in self._closing if runner.has_ended]
            for runner in ended:
                self._names.discard(runner.name)
                self._timer.forget(runner.name)
            self._closing = tuple(runner for runner in (*self._closing, *runners) if runner not in ended)

    def stop(self) -> None:
        """End all sinks with a thread within a second. Thread-safe and idempotent."""
        with self._lock:
            self._is_stopped = True
            for runner in self._runners:
                runner.stop()

    def closing_steps(self) -> list[Callable[[], None]]:
        """Return the calls that close all sinks, to be made in order, each whatever the earlier ones raise."""
        return [
            self._end,
            *(sink.close for sink in self._direct),
            self._wait,
            *(factory.close for factory in self._factories),
        ]

    def close_unstarted(self) -> None:
        """Close the sinks of a run that never started."""
        for sink in self._sinks:
            sink.close()
        for factory in self._factories:
            factory.close()

    def check(self) -> None:
        """Raise the error of the first sink that has not recovered from one: its output is incomplete."""
        for runner in self._runners:
            if (error := runner.error) is not None:
                raise error

    def stats(self) -> tuple[SinkStats, ...]:
        """Return the statistics of the sinks with a thread. Thread-safe."""
        return tuple(runner.stats() for runner in self._runners)

    @property
    def _runners(self) -> tuple[SinkRunner, ...]:
        by_source = (runner for runners in tuple(self._by_source.values()) for runner in runners)
        return (*self._shared, *by_source, *(runner for runner in self._closing if not runner.has_ended))

    def _runners_of(self, source_id: str) -> tuple[SinkRunner, ...]:
        """Return the runners of a source's own sinks, started with its first result."""
        if source_id not in self._by_source:
            with self._lock:
                runners = tuple(self._runner(factory.open_sink(source_id)) for factory in self._factories)
                self._by_source[source_id] = runners
                for runner in runners:
                    runner.start()
                    if self._is_stopped:
                        runner.stop()
        return self._by_source[source_id]

    def _runner(self, sink: Sink) -> SinkRunner:
        """Return a runner with a unique name."""
        policy = _policy(sink)
        name, number = policy.name, 1
        while name in self._names:
            number += 1
            name = f"{policy.name} {number}"
        self._names.add(name)
        return SinkRunner(sink, replace(policy, name=name), timer=self._timer, clock=self._clock)

    def _end(self) -> None:
        for runner in self._runners:
            runner.end()

    def _wait(self) -> None:
        for runner in self._runners:
            runner.wait()


def _policy(sink: Sink) -> SinkPolicy:
    return sink.policy if isinstance(sink, HasPolicy) else DEFAULT_POLICY
