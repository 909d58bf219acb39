"""Carries a plan out. The results are on disk after every measurement, so that a killed run loses one at most."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.plan import Measurement, share
from benchmarks.gpu.workers import Outcome, Request, Worker

__all__ = ["Settings", "carry_out", "write_json"]

START_SECONDS: Final = 60.0
"""Additional limit of the first measurement of a process, which loads libraries and compiles CUDA functions."""
GRACE_SECONDS: Final = 20.0
LIMIT_FACTOR: Final = 3.0
"""A measurement may take this many times its share and `GRACE_SECONDS` more, for its preparations."""

NOT_REACHED: Final = {"state": "not run", "reason": "the run ended before"}


@dataclass(frozen=True)
class Settings:
    """How to measure; see `Request`."""

    device: str
    num_objects: int
    num_runs: int
    seconds: float
    """Time for everything."""


def carry_out(
    plan: Sequence[Measurement],
    settings: Settings,
    *,
    start: Callable[[], Worker],
    save: Callable[[list[dict[str, Any]]], None],
    tell: Callable[[str], None],
    describe: Callable[[dict[str, Any]], str],
    clock: Callable[[], float] = time.monotonic,
) -> list[dict[str, Any]]:
    """Make all measurements for which there is time, and return a record of every one, in order.

    Args:
        plan: the measurements, the most important one first.
        settings: how to measure.
        start: starts a worker; called again after each failure.
        save: receives all records before the first measurement and after each one.
        tell: receives one text per measurement, and one per unavailable mode.
        describe: returns a record as text.
        clock: time in seconds.
    """
    ends = clock() + settings.seconds
    records: list[dict[str, Any]] = [{**_heading(one), **NOT_REACHED} for one in plan]
    save(records)
    worker: Worker | None = None
    missing: dict[str, str] = {}
    try:
        for number, measurement in enumerate(plan):
            began = clock()
            left = ends - began
            seconds = share(plan[number:], left)
            if measurement.mode in missing:
                outcome = Outcome("unavailable", reason=missing[measurement.mode])
            elif not seconds:
                outcome = Outcome("out of time", reason=f"out of time, {max(left, 0):.1f} s were left")
            else:
                limit = LIMIT_FACTOR * seconds + GRACE_SECONDS
                if worker is None or not worker.is_usable:
                    worker, limit = start(), limit + START_SECONDS
                limit = min(limit, left)
                request = Request(measurement, settings.device, settings.num_objects, seconds, settings.num_runs, limit)
                outcome = worker.measure(request)
                if outcome.state == "failed" and clock() >= ends:
                    outcome = Outcome("out of time", reason=f"out of time, not finished within {left:.1f} s")
            took = {"took_seconds": round(clock() - began, 2)}
            records[number] = {**_heading(measurement), **_ended(outcome), **took}
            if outcome.state != "unavailable" or measurement.mode not in missing:
                tell(describe(records[number]))
            if outcome.state == "unavailable":
                missing[measurement.mode] = outcome.reason
            save(records)
            if worker is not None and not worker.is_usable:
                worker.stop()
    finally:
        if worker is not None:
            worker.stop()
    return records


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file; whoever reads it meanwhile gets the former one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps(values, indent=2, default=asdict) + "\n", encoding="utf-8")
    temporary.replace(path)


def _heading(measurement: Measurement) -> dict[str, Any]:
    case = measurement.case
    parts = {"size": case.size, "batch": case.batch, "imgsz": case.imgsz, "sharp": case.sharp}
    return {"case": case.name, **parts, "kind": measurement.kind, "mode": measurement.mode}


def _ended(outcome: Outcome) -> dict[str, Any]:
    if outcome.state == "measured":
        return {"state": outcome.state, **outcome.values}
    state = "not run" if outcome.state == "out of time" else outcome.state
    return {"state": state, "reason": outcome.reason}
