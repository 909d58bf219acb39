"""Measure an NVIDIA GPU: FastSAM's sizes s and x with seeded weights, results first compared with those of the CPU.

python -m benchmarks.gpu [--seconds 330] [--json FILE]      within 6 minutes
python -m benchmarks.gpu --device cpu --imgsz 64 --cases s1 --runs 3      tries it without a GPU
python -m benchmarks.gpu --pack DIR      writes what another machine needs, and the script DIR/run

Of each case: the comparison with the CPU; frames from capture to the encoded message in several engines; the stages of
the step on the device by CUDA events; a live run from cameras to a subscriber. What there is no time for is reported,
and so is what fails; the results are on disk after each measurement. docs/gpu.md describes them.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu.cases import CASES
from benchmarks.gpu.lines import describe, summary, verdict
from benchmarks.gpu.measure import measure
from benchmarks.gpu.modes import is_cuda
from benchmarks.gpu.pack import pack
from benchmarks.gpu.plan import KINDS, MODES, planned
from benchmarks.gpu.runs import Settings, carry_out, write_json
from benchmarks.gpu.workers import Measure, ProcessWorker
from benchmarks.harness import parser, provenance
from streamseg.engines.cuda import cuda_state

SECONDS = 330.0
"""With starting and ending less than 6 minutes."""


def main(measuring: Measure = measure, began: float | None = None) -> int:
    """Run the command line.

    Args:
        measuring: makes one measurement, in another process.
        began: monotonic time from which the time for everything counts; None: now.
    """
    began = time.monotonic() if began is None else began
    names = [case.name for case in CASES]
    arguments = parser(__doc__)
    arguments.add_argument("--pack", type=Path, metavar="DIR", help="write all that another machine needs, and stop")
    arguments.add_argument("--python", default="3.12", help="version of Python that --pack is for (default: 3.12)")
    arguments.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to try the command (default: cuda)")
    arguments.add_argument("--cases", nargs="+", choices=names, default=names, help="size and batch (default: all)")
    arguments.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    arguments.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="engines of frames")
    arguments.add_argument("--seconds", type=float, default=SECONDS, help=f"time for everything (default: {SECONDS:g})")
    arguments.add_argument("--runs", type=int, default=100, help="maximum number of runs of a measurement (100)")
    arguments.add_argument("--objects", type=int, default=50, help="maximum number of objects per image (50)")
    arguments.add_argument("--imgsz", type=int, help="another input size, for trying it on a CPU")
    args = arguments.parse_args()
    if args.pack is not None:
        print(pack(args.pack, args.python))
        return 0
    kind, _, index = args.device.partition(":")
    if args.device != "cpu" and not (kind == "cuda" and (index or "0").isdecimal()):
        arguments.error(f"argument --device: invalid device {args.device!r}; allowed are cuda, cuda:N and cpu")
    problem = cuda_state().problem(int(index or 0)) if kind == "cuda" else None
    device = f"cuda:{int(index or 0)}" if kind == "cuda" else "cpu"
    if problem is not None:
        print(f"bench gpu: no device {args.device!r}: {problem}; --device cpu tries the command", file=sys.stderr)
        return 2
    cases = [case.at(args.imgsz) for case in CASES if case.name in args.cases]
    # Graphs need a GPU; on a CPU, `eager` is the same.
    modes = [mode for mode in MODES if mode in args.modes and (is_cuda(device) or mode != "eager")]
    origin = provenance()
    print(f"{origin['machine']}, {origin['gpu'] or 'no GPU'}, load {origin['load']}, versions {origin['versions']}")
    results: dict[str, Any] = {**origin, "benchmark": "gpu", "device": device, "max_objects": args.objects}

    def save(records: list[dict[str, Any]]) -> None:
        if args.json is not None:
            took = round(time.monotonic() - began, 1)
            write_json(args.json, {**results, "took_seconds": took, "measurements": records})

    records = carry_out(
        planned(cases, modes, args.kinds),
        Settings(device, args.objects, args.runs, args.seconds - (time.monotonic() - began)),
        start=partial(ProcessWorker, measuring),
        save=save,
        tell=partial(print, flush=True),
        describe=describe,
    )
    code, line = verdict(records)
    print(f"\n{summary(records, cases)}\n{line}, {time.monotonic() - began:.0f} s in total")
    if args.json is not None:
        print(f"wrote {args.json}")
    return code


def _started() -> float:
    """Return the monotonic time at which this process began; importing torch takes seconds. Linux, else now."""
    stat = Path("/proc/self/stat")
    if not stat.is_file():
        return time.monotonic()
    ticks = int(stat.read_text(encoding="ascii").rpartition(")")[2].split()[19])
    return time.monotonic() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


if __name__ == "__main__":
    sys.exit(main(began=_started()))
