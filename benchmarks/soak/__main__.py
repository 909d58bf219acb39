"""Check latency and memory of a live run: ages, rate, drops and memory, minute by minute.

    scripts/bench soak                                                     the rendered scene
    scripts/bench soak --source rtsp://camera/live --minutes 5             one source
    scripts/bench soak --cameras 4 --dead 1 --flapping 1 --page --cores 2 --minutes 60 --plot soak.png --json soak.json

Starts `streamseg run` in a separate process, subscribes to it and ends it with SIGTERM. It checks:

    age p95 < 3 frame times + the network's p95 for each source      p99 age of the last third < 1.5 x that of the first
    memory grows by less than 2 % after a minute of warm-up; in runs of 30 minutes or more, by less than 1 % per hour
    from minute 10 on

Frame time is that of the source (every delivered frame counts, dropped or not). Age is the frame's age when its message
was composed; the age at the subscriber is printed beside it. Memory is the resident set of the run; its growth is that
of a straight line through all samples of that time. The exit code is 1 if a promise does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.harness import output_file, parser, report
from benchmarks.soak.listening import Minute, listen
from benchmarks.soak.mappings import resident_mb
from benchmarks.soak.page import OpenPage
from benchmarks.soak.plot import plot
from benchmarks.soak.site import cameras
from benchmarks.soak.verdict import judge
from streamseg.publish import ControlClient, Subscriber

START_SECONDS = 300.0
"""Maximum time for loading weights and warming up on a busy machine."""
REPLY_SECONDS = 60.0
"""Maximum time for a reply on a busy machine: one that is late must not end a run of hours."""


def main() -> int:
    args = _arguments().parse_args()
    if args.cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    with ExitStack() as stack:
        words = ["--source", args.source]
        if args.cameras + args.dead + args.flapping:
            sections = stack.enter_context(cameras(args.cameras, args.dead, args.flapping, args.max_fps))
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "soak.yaml"
            path.write_text(yaml.safe_dump({"sources": sections}))
            words = [str(path)]
        minutes, frame_times_ms, status, ending = _soak(args, words)
    if not minutes or not frame_times_ms:
        print("soak: nothing arrived", file=sys.stderr)
        return 1
    verdict = judge(minutes, frame_times_ms, status)
    print(f"figures of the run: {ending['figures']}")
    print(f"stopped {ending['stop_seconds']:.2f} s after SIGTERM")
    for promise, (holds, words_of) in verdict.items():
        print(f"{promise}: {words_of}: {'holds' if holds else 'DOES NOT HOLD'}")
    if args.plot is not None:
        plot(minutes, args.plot)
    results = {
        "benchmark": "soak",
        "source": args.source,
        "cameras": {"healthy": args.cameras, "dead": args.dead, "flapping": args.flapping},
        "is_page_open": args.page,
        "max_fps": args.max_fps,
        "cores": args.cores,
        "sets": args.sets,
        "minutes": [minute.summary() for minute in minutes],
        "verdict": {promise: {"holds": holds, "words": words_of} for promise, (holds, words_of) in verdict.items()},
        "stages_ms": status.get("stages_ms"),
        "drops": status.get("drops"),
        **ending,
    }
    report(results, args.json)
    return 0 if all(holds for holds, _ in verdict.values()) else 1


def _arguments() -> argparse.ArgumentParser:
    arguments = parser(__doc__)
    arguments.add_argument("--source", default="scene", help="an RTSP URL, a camera's number or scene (default)")
    arguments.add_argument("--cameras", type=int, default=0, metavar="N", help="RTSP cameras on loopback (0)")
    arguments.add_argument("--dead", type=int, default=0, metavar="N", help="cameras that never respond (0)")
    arguments.add_argument("--flapping", type=int, default=0, metavar="N", help="cameras cut every 20 s (0)")
    arguments.add_argument("--max-fps", type=float, metavar="FPS", help="maximum rate of processed frames per camera")
    arguments.add_argument("--page", action="store_true", help="open the page in a client that reads every frame")
    arguments.add_argument("--cores", type=int, help="number of cores for everything (default: all)")
    arguments.add_argument("--minutes", type=float, default=5.0)
    arguments.add_argument("--plot", type=output_file, metavar="PNG", help="draw age, rate, drops and memory")
    arguments.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")
    return arguments


def _soak(
    args: argparse.Namespace, words: list[str]
) -> tuple[list[Minute], list[float], dict[str, Any], dict[str, Any]]:
    """Run the program; return the minutes, the frame times, its last status and how it ended."""
    sets = ["publish.endpoint=tcp://127.0.0.1:0", "publish.control_endpoint=tcp://127.0.0.1:0", *args.sets]
    command = [sys.executable, "-m", "streamseg.cli.main", "run", *words]
    command += [word for setting in sets for word in ("--set", setting)]
    command += ["--view", "0"] if args.page else []
    minutes: list[Minute] = []
    frame_times_ms: list[float] = []
    status: dict[str, Any] = {}
    with ExitStack() as page, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        try:
            endpoints = _endpoints(run, "page" if args.page else "control")
            if args.page:
                page.enter_context(OpenPage(endpoints["page"]))
            process = psutil.Process(run.pid)
            with (
                Subscriber(endpoints["messages"]) as subscriber,
                ControlClient(endpoints["control"], timeout_seconds=REPLY_SECONDS) as control,
                contextlib.suppress(KeyboardInterrupt),
            ):
                cpu = _CpuTime(process)
                for minute in listen(subscriber, lambda: process.memory_info().rss, args.minutes * 60, frame_times_ms):
                    status = control.call("status")
                    _add_status(minute, status)
                    minute.resident_mb = resident_mb(run.pid)
                    minute.cores = cpu.cores()
                    minutes.append(minute)
                    print(f"minute {len(minutes)}: {_line(minute.summary())}", flush=True)
        finally:
            stopped = time.monotonic()
            run.send_signal(signal.SIGTERM)
            figures = run.communicate()[0].strip().splitlines()
            stop_seconds = time.monotonic() - stopped
    ending = {"stop_seconds": round(stop_seconds, 3), "figures": figures[-1] if figures else None}
    return minutes, frame_times_ms, status, ending


class _CpuTime:
    """Processor time of a process between two calls."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._before = self._now()

    def cores(self) -> float:
        """Return how many cores the process has used since the last call, on average."""
        before, self._before = self._before, self._now()
        return (self._before[1] - before[1]) / max(self._before[0] - before[0], 1e-3)

    def _now(self) -> tuple[float, float]:
        times = self._process.cpu_times()
        return time.monotonic(), times.user + times.system


def _add_status(minute: Minute, status: dict[str, Any]) -> None:
    """Add drops and states to a minute."""
    minute.num_drops = sum(sum(reasons.values()) for reasons in status["drops"].values())
    minute.drops = {source["source_id"]: source["drops"] for source in status["sources"]}
    minute.states = {source["source_id"]: source["state"] for source in status["sources"]}


def _endpoints(run: subprocess.Popen[str], last: str) -> dict[str, str]:
    """Read the endpoints that a run prints first, up to one of them."""
    found: dict[str, str] = {}
    deadline = time.monotonic() + START_SECONDS
    assert run.stdout is not None
    while last not in found and time.monotonic() < deadline:
        line = run.stdout.readline()
        if not line:
            raise SystemExit(f"soak: streamseg run ended with exit code {run.wait()} before it published")
        name, _, endpoint = line.strip().partition(" at ")
        found[name] = endpoint
    if last not in found:
        raise SystemExit(f"soak: streamseg run did not start within {START_SECONDS:g} s")
    return found


def _line(summary: dict[str, Any]) -> str:
    return (
        f"{summary['fps']:.1f} fps, {summary['objects']:.1f} objects,"
        f" age p50 {summary['age_p50_ms']:.0f} p95 {summary['age_p95_ms']:.0f} p99 {summary['age_p99_ms']:.0f} ms"
        f" (at the subscriber p95 {summary['arrival_p95_ms']:.0f}), drops {summary['drops']},"
        f" longest silence {summary['longest_silence_seconds']:.1f} s, {summary['rss_mb']:.1f} MB,"
        f" {summary['cores']:.2f} cores"
    )


if __name__ == "__main__":
    sys.exit(main())
