"""Play the faults, compare them with their promises, and write benchmarks/results/faults.json and docs/faults.md."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streamseg.cli.provenance import priority, provenance
from tests.faults.document import DOCUMENT, cell, render, replaced
from tests.faults.rows import REPOSITORY, Measured, Row
from tests.faults.suite import SECTIONS, rows
from tests.support.rtsp_server import why_no_server

RESULTS = REPOSITORY / "benchmarks" / "results" / "faults.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 if a promise was not held, 2 if nothing can be measured."""
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the name of a fault (default: all)")
    parser.add_argument("--times", type=int, default=20, help="plays of a fault that takes less than 5 s (default: 20)")
    parser.add_argument("--update", action="store_true", help="with NAME: replace these rows in the results")
    parser.add_argument("--list", action="store_true", help="print the names, and play nothing")
    parser.add_argument("--render", action="store_true", help="write the document from the results, and play nothing")
    args = parser.parse_args(arguments)
    chosen = [row for row in rows() if not args.names or any(name in row.name for name in args.names)]
    if args.list or not chosen:
        print("\n".join(row.name for row in (chosen or rows())))
        return 0 if chosen else 2
    if args.render:
        _write(_read())
        return 0
    if (reason := why_no_server()) is not None:
        print(f"scripts/faults: {reason}", file=sys.stderr)
        return 2
    results = _read() if args.names else {"rows": {}}
    is_held = True
    for row in chosen:
        result = results["rows"][row.name] = measure(row, args.times)
        is_held &= result["held"] or bool(result["skipped"])
        print(f"{row.name}: {cell(row, result)} (promise: {row.promised or f'{row.promise:g} {row.unit}'})", flush=True)
        for failure in result["failures"]:
            print(f"  {failure}", flush=True)
        if args.update or not args.names:
            _write(results)
    return 0 if is_held else 1


def measure(row: Row, times: int) -> dict[str, Any]:
    """Play one fault; return its entry of the results."""
    load, started = os.getloadavg()[0], time.monotonic()
    measured = row.measure(times)
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": round(load, 2),
        "is_loaded": load > (os.cpu_count() or 1),
        "priority": priority(),
        "seconds": round(time.monotonic() - started, 1),
        "promise": row.promise,
        "unit": row.unit,
        "num_plays": measured.num_plays,
        "seeds": measured.seeds,
        "values": [round(value, 4) for value in measured.values],
        "median": round(statistics.median(measured.values), 4) if measured.values else None,
        "failures": measured.failures,
        "skipped": measured.skipped,
        "held": is_held(row, measured),
    }


def is_held(row: Row, measured: Measured) -> bool:
    """Return whether every play kept the promise."""
    if measured.skipped or measured.failures or not measured.num_plays:
        return False
    if row.promise is None:
        return True
    return bool(measured.values) and max(measured.values) <= row.promise


def _read() -> dict[str, Any]:
    if not RESULTS.exists():
        return {"rows": {}}
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def _write(results: dict[str, Any]) -> None:
    """Write the results with their origin, and the document."""
    known = {row.name for row in rows()}
    entries = {name: entry for name, entry in results["rows"].items() if name in known}
    results = {**provenance(), "benchmark": "faults", "rows": entries}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = Path(DOCUMENT).read_text(encoding="utf-8")
    DOCUMENT.write_text(replaced(text, render(SECTIONS, results)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
