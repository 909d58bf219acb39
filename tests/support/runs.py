"""A run in a background thread."""

from __future__ import annotations

import threading

from streamseg.runtime import RunStats, Runtime
from tests.support.stages import ListSink

__all__ = ["BOUND_SECONDS", "BackgroundRun", "indices_of"]

BOUND_SECONDS = 30.0
"""Time limit for a run to end, and for what leads to that: it takes less than a second; the rest is a margin for a busy
machine. What waits in vain waits without end, and thus exceeds it."""


class BackgroundRun:
    """A run in another thread, for tests that control it."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.stats: RunStats | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="run under test")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.stats = self.runtime.run()
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(BOUND_SECONDS)
        assert not self._thread.is_alive(), "the run did not end"


def indices_of(sink: ListSink, source_id: str) -> list[int]:
    return [result.frame.index for result in sink.results if result.frame.source_id == source_id]
