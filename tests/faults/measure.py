"""Measure every fault several times, and print the rows of docs/faults.md: `scripts/faults`."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from tests.faults.scenarios import SCENARIOS
from tests.support.rtsp_server import why_no_server


def main() -> int:
    """Return 1 if a promise was not held, 2 if nothing can be measured."""
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the name of a fault (default: all)")
    parser.add_argument("--times", type=int, default=20, help="repetitions of each fault (default: 20)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all measurements here")
    args = parser.parse_args()
    if (reason := why_no_server()) is not None:
        print(f"scripts/faults: {reason}", file=sys.stderr)
        return 2
    measured: dict[str, list[float]] = {}
    is_held = True
    print("| fault | promise, s | median, s | worst, s | runs |\n|---|---|---|---|---|")
    for scenario in SCENARIOS:
        if args.names and not any(name in scenario.name for name in args.names):
            continue
        outcomes = [scenario.run() for _ in range(args.times)]
        seconds = measured[scenario.name] = [outcome.seconds for outcome in outcomes]
        is_held &= max(seconds) <= scenario.promise_seconds
        for outcome in outcomes:
            is_held &= set(scenario.states) <= set(outcome.states) and not set(scenario.never) & set(outcome.states)
        median, worst = statistics.median(seconds), max(seconds)
        print(
            f"| {scenario.name} | {scenario.promise_seconds:g} | {median:.2f} | {worst:.2f} | {len(seconds)} |",
            flush=True,
        )
    if args.json is not None:
        args.json.write_text(json.dumps(measured, indent=1) + "\n")
    return 0 if is_held else 1


if __name__ == "__main__":
    sys.exit(main())
