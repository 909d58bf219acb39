"""Subscribers that are slow or stopped: `scripts/bench subscribers`, as rows of the suite."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.faults.rows import REPOSITORY, Outcome, Scenario

__all__ = ["SCENARIOS"]


def _benchmark(*arguments: str) -> dict[str, Any]:
    """Return the results of the benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.json"
        command = [sys.executable, "-m", "benchmarks.subscribers", "--json", str(path), *arguments]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-300:]
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found


def slow_subscriber() -> Outcome:
    """A subscriber takes 5 messages a second of a stream of 30 with images; p95 age of what it takes."""
    (row,) = _benchmark("--subscribers", "0", "--seconds", "12", "--readers", "streamseg.Subscriber")["slow_readers"]
    return Outcome(row["p95_ms"])


def stopped_subscriber() -> Outcome:
    """One more of 200 subscribers is stopped by SIGSTOP, in turns with calm; growth of the p99 age of the others."""
    return Outcome(100.0 * (_benchmark("--readers", "none")["stopped"]["p99_ratio"] - 1.0))


SCENARIOS = (
    Scenario("slow subscriber", slow_subscriber, 60.0, unit="ms", promised="p95 age ≤ 60 ms", is_long=True),
    Scenario(
        "200 subscribers, one stopped",
        stopped_subscriber,
        10.0,
        unit="%",
        promised="p99 age of the others grows by ≤ 10 %",
        is_long=True,
    ),
)
