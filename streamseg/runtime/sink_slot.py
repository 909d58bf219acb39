"""Results that wait for one sink: a bounded slot per source, and the policy of a full one. No threads."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from streamseg.pipeline import FrameResult

__all__ = ["DEFAULT_POLICY", "HasPolicy", "ResultSlot", "SinkPolicy"]


@dataclass(frozen=True)
class SinkPolicy:
    """How a run hands results to a sink."""

    name: str
    """Name in statistics and log; unique within a run."""
    capacity: int = 8
    """Number of results of one source that may wait. 8 bridge a quarter of a second at 30 frames per second."""
    keep: Literal["oldest", "newest"] = "oldest"
    """Which results a full slot keeps. oldest, for files: the new one is dropped, so that a stall leaves one gap.
    newest, for displays: the oldest one is dropped."""
    has_thread: bool = True
    """False: `write` never waits and is called by the finishing thread; its exceptions end the run."""


DEFAULT_POLICY = SinkPolicy("sink")


@runtime_checkable
class HasPolicy(Protocol):
    """A sink with a policy of its own."""

    @property
    def policy(self) -> SinkPolicy:
        """How a run hands results to this sink."""
        ...


class ResultSlot:
    """Bounded queue: at most `capacity` results of each source, taken in the order in which they were put.

    Args:
        policy: capacity, and which results are kept if the slot is full.
    """

    def __init__(self, policy: SinkPolicy) -> None:
        if policy.capacity < 1:
            raise ValueError(f"the capacity of a slot must be at least 1, got {policy.capacity}")
        self._policy = policy
        self._results: deque[FrameResult] = deque()
        self._num_waiting: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._results)

    def is_full(self, source_id: str) -> bool:
        """Return whether the next result of a source costs one of its results."""
        return self._num_waiting[source_id] >= self._policy.capacity

    def put(self, result: FrameResult) -> FrameResult | None:
        """Add a result; return the one that was dropped for it, which may be the result itself, or None."""
        source_id = result.frame.source_id
        dropped = None
        if self.is_full(source_id):
            if self._policy.keep == "oldest":
                return result
            dropped = next(waiting for waiting in self._results if waiting.frame.source_id == source_id)
            self._results.remove(dropped)
            self._num_waiting[source_id] -= 1
        self._results.append(result)
        self._num_waiting[source_id] += 1
        return dropped

    def take(self) -> FrameResult | None:
        """Remove and return the result that has waited longest; None if the slot is empty."""
        if not self._results:
            return None
        result = self._results.popleft()
        self._num_waiting[result.frame.source_id] -= 1
        return result

    def clear(self) -> list[FrameResult]:
        """Remove and return all waiting results, oldest first."""
        results = list(self._results)
        self._results.clear()
        self._num_waiting.clear()
        return results
