"""Shared parts of the benchmarks: interleaved timing, percentiles and the provenance of results.

Candidates are timed in turns within one run, so a busy machine slows all of them equally: ratios remain valid when
absolute times do not.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.cli.provenance import provenance

__all__ = ["DATA", "Timing", "measure", "output_file", "parser", "provenance", "report"]

DATA = Path(os.environ.get("STREAMSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
"""Folder of labelled images and sequences, if available."""


@dataclass(frozen=True)
class Timing:
    """Durations of one candidate in milliseconds."""

    p50: float
    p95: float
    p99: float
    num_runs: int

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        """Compute percentiles of single runs."""
        p50, p95, p99 = (float(value) * 1000 for value in np.percentile(seconds, (50, 95, 99)))
        return cls(round(p50, 3), round(p95, 3), round(p99, 3), len(seconds))

    def __str__(self) -> str:
        return f"p50 {self.p50:9.3f}  p95 {self.p95:9.3f}  p99 {self.p99:9.3f} ms"


def measure(
    candidates: Mapping[str, Callable[[], object]],
    *,
    num_runs: int = 50,
    num_warmups: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time each candidate `num_runs` times, in turns, after a warm-up.

    With `time.process_time` as the clock, the figures are CPU times of all threads together, which other processes
    change much less.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for run in range(num_warmups + num_runs):
        for name, function in candidates.items():
            started = clock()
            function()
            elapsed = clock() - started
            if run >= num_warmups:
                seconds[name].append(elapsed)
    return {name: Timing.of(values) for name, values in seconds.items()}


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the flag shared by all benchmarks."""
    flags = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    flags.add_argument("--json", type=output_file, default=None, metavar="FILE", help="write the results to this file")
    return flags


def output_file(text: str) -> Path:
    """Check an output file of the command line before any work begins.

    Raises:
        argparse.ArgumentTypeError: the file cannot be written.
    """
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"cannot write {path}: it is a folder")
    folder = next(parent for parent in path.absolute().parents if os.access(parent, os.F_OK))
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"cannot write {path}: {folder} is not a folder")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise argparse.ArgumentTypeError(f"cannot write {path}: permission denied")
    return path


def report(results: Mapping[str, Any], path: Path | None) -> None:
    """Print the provenance; also write it with the results to `path`, if given."""
    origin = provenance()
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    print(
        f"{origin['machine']}, {origin['gpu'] or 'no GPU'}, load {origin['load']},"
        f" Python {origin['python']}, {versions}"
    )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**origin, **results}, indent=2, default=vars) + "\n", encoding="utf-8")
        print(f"wrote {path}")
