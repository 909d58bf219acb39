"""Measure streamseg's network and the systems that it is compared with: milliseconds, memory, parameters, quality.

python -m benchmarks.systems [--systems NAME,...] [--threads 1] [--runs 5] [--budget-ms 20] [--data FOLDER]
    [--json FILE [--update]] [--published]

Every system runs at its true size in a process of its own, on the same frames of the rendered scene. Weights that lie
where `streamseg tiers` expects them are used, and with `--data` their quality is measured: mean IoU and boundary IoU
of masks from boxes and points on eval-coco, J&F of followed boxes on eval-video. Other systems have random weights:
time and memory only. The quality of the default network is that of benchmarks/results/eval.json.

Everything by a grid takes one run of the encoder and 16 batches of 64 points, from which it is computed. The pipeline
follows one box prompt with the tier and its budget; `finish` is what a frame takes beside the network, the tier
included. Times are CPU times of all threads together: with `--threads 1` those of a quiet machine, whatever else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness import parser, report
from benchmarks.systems.models import SYSTEMS
from benchmarks.systems.published import PUBLISHED


def main(arguments: list[str] | None = None) -> int:
    flags = parser(__doc__)
    flags.add_argument("--systems", default=",".join(one.name for one in SYSTEMS), help="names, separated by commas")
    flags.add_argument("--threads", type=int, default=1)
    flags.add_argument("--runs", type=int, default=5, help="measured runs of each stage after a warm-up")
    flags.add_argument("--budget-ms", type=float, default=20.0)
    flags.add_argument("--data", type=Path, help="folder with eval-coco and eval-video (default: no quality)")
    flags.add_argument("--published", action="store_true", help="print published figures, and measure nothing")
    flags.add_argument("--update", action="store_true", help="keep the other systems of the file of --json")
    flags.add_argument("--child", help=argparse.SUPPRESS)
    options = flags.parse_args(arguments)
    if options.published:
        for one in PUBLISHED:
            print(f"{one.system:24} {one.what}: {one.value}  [{one.source}]")
        return 0
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
            "weights": "by system; random: time and memory only",
            "times": "CPU times of all threads together",
            "threads": options.threads,
            "budget_ms": options.budget_ms,
            "systems": results,
            "published": [asdict(one) for one in PUBLISHED],
        },
        options.json,
    )
    return 0


def _in_a_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one system, or why there are none."""
    command = [sys.executable, "-m", "benchmarks.systems", "--child", name, "--threads", str(options.threads)]
    command += ["--runs", str(options.runs), "--budget-ms", str(options.budget_ms)]
    command += [] if options.data is None else ["--data", str(options.data)]
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
    torch.set_grad_enabled(False)
    system = next(one for one in SYSTEMS if one.name == options.child)
    print(json.dumps(measured(system, num_runs=options.runs, budget_ms=options.budget_ms, data=options.data)))
    return 0


def _row(name: str, figures: dict[str, Any]) -> str:
    """Return the figures of one system in one line."""
    if "missing" in figures:
        return f"{name:18} missing: {figures['missing']}"
    stages = ", ".join(f"{stage} {timing['p50']:.0f} ms" for stage, timing in figures["stages"].items())
    pipeline = figures["pipeline"]
    parameters = figures["parameters"]
    size = "     -  " if parameters is None else f"{parameters / 1e6:6.1f} M"
    return (
        f"{name:18} {size}  {figures['memory_mb']:5d} MB  {stages}; pipeline:"
        f" finish p95 {pipeline['finish_ms']['p95']:.1f} ms, {pipeline['mask_source']}; {_quality(figures)}"
    )


def _quality(figures: dict[str, Any]) -> str:
    """Return the quality of one system in words, or why there is none."""
    quality = figures.get("quality") or {}
    if not quality:
        is_random = figures.get("weights", "random") == "random"
        return "random weights, no quality" if is_random else "quality not measured"
    names = {"box_miou": "box", "point_miou": "point", "box_boundary_iou": "outline", "j_and_f": "J&F"}
    return ", ".join(f"{label} {quality[name]:.3f}" for name, label in names.items() if name in quality)


if __name__ == "__main__":
    sys.exit(main())
