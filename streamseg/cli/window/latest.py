"""The newest result of each source."""

from __future__ import annotations

from streamseg.pipeline import FrameResult

__all__ = ["LatestResults"]


class LatestResults:
    """A sink that keeps the newest result of each source, for whoever comes to look."""

    def __init__(self) -> None:
        self._results: dict[str, FrameResult] = {}

    def write(self, result: FrameResult) -> None:
        """Keep this one; the thread that writes never waits for the one that looks."""
        # One assignment, and one copy in `snapshot`: neither can be interrupted half-way.
        self._results[result.frame.source_id] = result

    def snapshot(self) -> dict[str, FrameResult]:
        """The newest results by source id; from any thread."""
        return self._results.copy()

    def close(self) -> None:
        """Nothing to let go of: the last picture may still be looked at."""
