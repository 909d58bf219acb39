"""Measure streamseg's network and the systems that it is compared with: milliseconds, memory, parameters.

python -m benchmarks.systems [--systems NAME,...] [--threads 1] [--runs 5] [--budget-ms 20] [--json FILE [--update]]

Every system runs at its true size in a process of its own, on the same frames of the rendered scene. Their weights are
random, because none are distributed with streamseg: time and memory only. Everything by a grid takes one run of the
encoder and 16 batches of 64 points, from which it is computed. The pipeline follows one box prompt with the tier and
its budget; `finish` is what a frame takes beside the network, the tier included. Times are CPU times of all threads
together: with `--threads 1` those of a quiet machine, whatever else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.harness import parser, report
from benchmarks.systems.models import SYSTEMS


def main(arguments: list[str] | None = None) -> int:
    flags = parser(__doc__)
    flags.add_argument("--systems", default=",".join(one.name for one in SYSTEMS), help="names, separated by commas")
    flags.add_argument("--threads", type=int, default=1)
    flags.add_argument("--runs", type=int, default=5, help="measured runs of each stage after a warm-up")
    flags.add_argument("--budget-ms", type=float, default=20.0)
    flags.add_argument("--update", action="store_true", help="keep the other systems of the file of --json")
    flags.add_argument("--child", help=argparse.SUPPRESS)
    options = flags.parse_args(arguments)
    if options.child is not None:
        return _child(options)
    names = options.systems.split(",")
    unknown = sorted(set(names) - {one.name for one in SYSTEMS})
    if unknown:
        flags.error(f"unknown systems {', '.join(unknown)}; known are {', '.join(one.name for one in SYSTEMS)}")
    if options.update and (options.json is None or not options.json.is_file()):
        flags.error("--update needs --json with a file of results")
    results = json.loads(options.json.read_text("utf-8"))["systems"] if options.update else {}
    for name in names:
        results[name] = _in_a_process(name, options)
        print(_row(name, results[name]), flush=True)
    report(
        {
            "weights": "random, except those of streamseg: time and memory only",
            "times": "CPU times of all threads together",
            "threads": options.threads,
            "budget_ms": options.budget_ms,
            "systems": results,
        },
        options.json,
    )
    return 0


def _in_a_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one system, or why there are none."""
    command = [sys.executable, "-m", "benchmarks.systems", "--child", name, "--threads", str(options.threads)]
    command += ["--runs", str(options.runs), "--budget-ms", str(options.budget_ms)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        print(f"{name}: {lines[-1] if lines else done.returncode}", file=sys.stderr)
        return {"missing": lines[-1] if lines else f"exit code {done.returncode}"}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _child(options: argparse.Namespace) -> int:
    import torch

    from benchmarks.systems.stages import measured

    torch.set_num_threads(options.threads)
    system = next(one for one in SYSTEMS if one.name == options.child)
    print(json.dumps(measured(system, num_runs=options.runs, budget_ms=options.budget_ms)))
    return 0


def _row(name: str, figures: dict[str, Any]) -> str:
    if "missing" in figures:
        return f"{name:18} missing: {figures['missing']}"
    stages = ", ".join(f"{stage} {timing['p50']:.0f} ms" for stage, timing in figures["stages"].items())
    pipeline = figures["pipeline"]
    parameters = figures["parameters"]
    return (
        f"{name:18} {parameters / 1e6 if parameters else 0:6.1f} M  {figures['memory_mb']:5d} MB  {stages}; pipeline:"
        f" finish p95 {pipeline['finish_ms']['p95']:.1f} ms, {pipeline['mask_source']}"
    )


if __name__ == "__main__":
    sys.exit(main())
