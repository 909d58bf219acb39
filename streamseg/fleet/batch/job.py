"""Run a batch: find what is left to do, let workers do it, and record it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamseg.fleet.batch.inputs import BatchInput, find_inputs
from streamseg.fleet.batch.manifest import Manifest
from streamseg.fleet.batch.settings import BatchSettings

__all__ = ["BatchCounts", "run_batch"]

Process = Callable[[list[str]], Iterable[tuple[str, Mapping[str, Any]]]]
"""Treats inputs by name, and yields each with its result: of `BatchWorker.process`."""
PARTIAL_PATTERN = ".*.partial"


@dataclass
class BatchCounts:
    """Progress and result of a batch."""

    num_inputs: int
    num_before: int
    """Inputs that were done before."""
    num_done: int = 0
    """Inputs done by this call."""
    num_frames: int = 0
    num_objects: int = 0
    num_failed: int = 0
    """Inputs that cannot be segmented."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Errors by input, at the end."""

    @property
    def num_finished(self) -> int:
        """Inputs that need no more work: done before, done now, or failed now."""
        return self.num_before + self.num_done + self.num_failed


def run_batch(
    folder: Path, out: Path, settings: BatchSettings, process: Process, on_progress: Callable[[BatchCounts], None]
) -> BatchCounts:
    """Segment every file of a folder that has no output yet.

    Args:
        folder: images and videos, also in folders below it.
        out: output folder.
        settings: settings of the whole batch, also of its later parts.
        process: treats the inputs.
        on_progress: called after each input.

    Returns:
        The counts; `errors` are those of all inputs without an output.

    Raises:
        DataError: the folder has no inputs, or the output cannot be written.
        StreamsegError: workers cannot start.
    """
    inputs = find_inputs(folder, out)
    with Manifest(out, settings.as_written()) as manifest:
        for leftover in out.rglob(PARTIAL_PATTERN):
            leftover.unlink(missing_ok=True)  # of a process that was killed
        todo = {one.name: one for one in inputs if not manifest.is_done(one)}
        counts = BatchCounts(len(inputs), len(inputs) - len(todo))
        for name, result in _processed(process, todo):
            manifest.add(todo[name], result)
            if "error" in result:
                counts.num_failed += 1
            else:
                counts.num_done += 1
                counts.num_frames += int(result["frames"])
                counts.num_objects += int(result["objects"])
            on_progress(counts)
        counts.errors = manifest.errors_of(inputs)
    return counts


def _processed(process: Process, todo: Mapping[str, BatchInput]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if todo:
        yield from process(list(todo))
