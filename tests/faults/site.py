"""Cameras with faults, the run that reads them, and the times at which its results and states change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

from streamseg.capture import open_source
from streamseg.config import StreamSource, TrackingConfig
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.runtime import Runtime
from streamseg.runtime.source_manager import limits_of
from streamseg.structures.arrays import ImageArray
from streamseg.structures.instances import Instances
from streamseg.structures.source_status import SourceState

__all__ = ["LIMIT_SECONDS", "Site", "address"]

LIMIT_SECONDS = 30.0
"""Time limit of a wait: more than any fault takes on a busy machine."""
POLL_SECONDS = 0.01


def address(port: int, path: str = "live") -> str:
    """Return the address of a camera on this machine, with a password that must appear nowhere."""
    return f"rtsp://admin:open-sesame@127.0.0.1:{port}/{path}"


class TimedSink:
    """Keeps the time, age and size of each result, and no images.

    Args:
        is_damaged: inspects each image, uint8 (H, W, 3); None: images are not inspected.
    """

    def __init__(self, is_damaged: Callable[[ImageArray], bool] | None = None) -> None:
        self.results: dict[str, list[tuple[float, float, tuple[int, int]]]] = {}
        self.num_damaged = 0
        """Number of damaged images so far."""
        self._is_damaged = is_damaged

    def write(self, result: FrameResult) -> None:
        if self._is_damaged is not None and self._is_damaged(result.frame.image):
            self.num_damaged += 1
        entry = (time.monotonic(), result.message.age_ms, result.frame.size)
        self.results.setdefault(result.frame.source_id, []).append(entry)

    def close(self) -> None:
        """Nothing is held."""


class _NoObjects:
    """Finds nothing, and takes a time that does not depend on the load of the machine."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._never = threading.Event()

    def __call__(self, images: Sequence[ImageArray], regions: object = None) -> list[Instances]:
        self._never.wait(self._seconds)
        return [Instances.empty((image.shape[0], image.shape[1])) for image in images]


class Site:
    """A run that reads cameras, in a thread of its own; use it as a context manager.

    Args:
        urls: address by source id.
        network_seconds: duration of the network for each batch; it needs no processor.
        is_damaged: inspects each published image.
        values: further keys of every source's section.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        *,
        network_seconds: float = 0.0,
        is_damaged: Callable[[ImageArray], bool] | None = None,
        **values: Any,
    ) -> None:
        sections = [StreamSource(id=name, url=url, **{"timeout_seconds": 2.0, **values}) for name, url in urls.items()]
        self._sections = {section.id: section for section in sections}
        self.sink = TimedSink(is_damaged)
        sources = [open_source(section, gives_up=False) for section in sections]
        # The cheapest stages: what is measured is capture and the run.
        pipeline = Pipeline(_NoObjects(network_seconds), tracking=TrackingConfig(enabled=False), prompts=())
        limits = {section.id: limits_of(section) for section in sections}
        self.runtime = Runtime(sources, pipeline, [self.sink], limits=limits)
        self.states: dict[str, list[SourceState]] = {name: [] for name in urls}
        """States of each source in their order, as far as they were seen."""
        self._ended = threading.Event()
        self._run = threading.Thread(target=self.runtime.run, name="run")
        self._watcher = threading.Thread(target=self._watch, name="watcher")

    def __enter__(self) -> Self:
        self._run.start()
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.runtime.stop()
        self._run.join(LIMIT_SECONDS)
        self._ended.set()
        self._watcher.join(LIMIT_SECONDS)

    def num_results(self, source_id: str) -> int:
        """Return the number of results so far."""
        return len(self.sink.results.get(source_id, ()))

    def wait_for(self, condition: Callable[[], bool], what: str) -> float:
        """Wait until a condition holds; return the seconds that it took."""
        started = time.monotonic()
        while not condition():
            assert time.monotonic() - started < LIMIT_SECONDS, f"waited in vain for {what}; {self.states}"
            self._ended.wait(POLL_SECONDS)
        return time.monotonic() - started

    def wait_for_results(self, source_id: str, number: int = 1) -> float:
        """Wait for new results of a source; return the seconds that it took."""
        before = self.num_results(source_id)
        return self.wait_for(lambda: self.num_results(source_id) >= before + number, f"results of {source_id}")

    def wait_for_state(self, source_id: str, state: SourceState) -> float:
        """Wait until a source is in a state; return the seconds that it took."""
        seconds = self.wait_for(lambda: self._state(source_id) == state, f"{source_id} {state}")
        self.states[source_id].append(state)
        return seconds

    def wait_for_return(self, source_id: str, num_connections: int) -> float:
        """Wait for the first result after so many connections in all; return the seconds that it took."""
        run = self.runtime._sources.get(source_id)
        assert run is not None
        what = f"connection {num_connections} of {source_id}"
        return self.wait_for(lambda: run.health.num_connections >= num_connections, what)

    def _state(self, source_id: str) -> SourceState:
        return self.runtime.source_statuses()[source_id].state

    def restart(self, source_id: str) -> None:
        """Open a source again, as `sources.restart` does."""
        section = self._sections[source_id]
        self.runtime.replace_source(open_source(section, gives_up=False), limits_of(section))

    def pause(self, seconds: float) -> None:
        """Let the run go on."""
        self._ended.wait(seconds)

    def error(self, source_id: str) -> str | None:
        """Return the last error of a source."""
        return self.runtime.source_statuses()[source_id].error

    def drops(self, source_id: str) -> dict[str, dict[str, int]]:
        """Return the frames of a source that were not published, by stage and reason."""
        (stats,) = (one for one in self.runtime.stats().sources if one.source_id == source_id)
        return {stage: dict(reasons) for stage, reasons in stats.drops.items()}

    def ages_ms(self, source_id: str, start: int = 0) -> list[float]:
        """Return the ages of the results of a source, from a number on."""
        return [age for _, age, _ in self.sink.results.get(source_id, ())[start:]]

    def longest_gap(self, source_id: str, start: int = 0) -> float:
        """Return the longest time in seconds between two results of a source, from a number on."""
        times = [at for at, _, _ in self.sink.results[source_id][start:]]
        return max(after - before for before, after in pairwise(times))

    def _watch(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            for name, status in self.runtime.source_statuses().items():
                seen = self.states.setdefault(name, [])
                if not seen or seen[-1] != status.state:
                    seen.append(status.state)
