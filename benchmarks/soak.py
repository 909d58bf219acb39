"""Check latency and memory of a live run: ages, rate, drops and memory of one live source, minute by minute.

Starts `streamseg run` in a separate process, subscribes to it and ends it with SIGTERM. It checks:

    age p95 < 3 frame times + the network's p95      memory grows by less than 2 % after a minute of warm-up

Frame time is that of the source (every delivered frame counts, dropped or not). Age is the frame's age when its message
was composed; the age at the subscriber is printed beside it. Memory is the resident set; its growth is that of a
straight line through all samples. The exit code is 1 if a promise does not hold.
"""

from __future__ import annotations

import contextlib
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

from benchmarks.harness import parser, report
from streamseg.publish import ControlClient, Subscriber, message_age_ms
from streamseg.structures.message import Message

FRAME_TIMES = 3.0
MAX_GROWTH_PERCENT = 2.0
SAMPLE_SECONDS = 1.0
START_SECONDS = 120.0
"""Maximum time for loading weights and warming up."""


@dataclass
class Minute:
    """Measurements of one minute."""

    ages_ms: list[float] = field(default_factory=list)
    arrival_ages_ms: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    num_objects: int = 0
    longest_silence_seconds: float = 0.0
    num_drops: int = 0
    """Total number of drops since the start, at the end of the minute."""
    seconds: float = 60.0

    def summary(self) -> dict[str, float]:
        """Return the figures of the minute; NaN if nothing arrived."""
        p50, p95, p99 = _percentiles(self.ages_ms, 50, 95, 99)
        arrival_p50, arrival_p95 = _percentiles(self.arrival_ages_ms, 50, 95)
        count = len(self.ages_ms)
        return {
            "fps": count / self.seconds,
            "age_p50_ms": p50,
            "age_p95_ms": p95,
            "age_p99_ms": p99,
            "arrival_p50_ms": arrival_p50,
            "arrival_p95_ms": arrival_p95,
            "objects": self.num_objects / count if count else math.nan,
            "longest_silence_seconds": self.longest_silence_seconds,
            "drops": self.num_drops,
            "rss_mb": float(np.mean(self.rss_mb)) if self.rss_mb else math.nan,
        }


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--source", default="scene", help="an RTSP URL, a camera's number or scene (default)")
    arguments.add_argument("--minutes", type=float, default=5.0)
    arguments.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")
    args = arguments.parse_args()
    sets = ["publish.endpoint=tcp://127.0.0.1:0", "publish.control_endpoint=tcp://127.0.0.1:0", *args.sets]
    command = [sys.executable, "-m", "streamseg.cli.main", "run", "--source", args.source]
    command += [word for setting in sets for word in ("--set", setting)]
    minutes: list[Minute] = []
    frame_times_ms: list[float] = []
    status: dict[str, Any] = {}
    stop_seconds = math.nan
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        try:
            endpoints = _endpoints(run)
            with (
                Subscriber(endpoints["messages"]) as subscriber,
                ControlClient(endpoints["control"]) as control,
                contextlib.suppress(KeyboardInterrupt),
            ):
                for minute in _listen(subscriber, psutil.Process(run.pid), args.minutes * 60, frame_times_ms):
                    status = control.call("status")
                    minute.num_drops = sum(sum(reasons.values()) for reasons in status["drops"].values())
                    minutes.append(minute)
                    print(f"minute {len(minutes)}: {_line(minute.summary())}", flush=True)
        finally:
            stopped = time.monotonic()
            run.send_signal(signal.SIGTERM)
            figures = run.communicate()[0].strip().splitlines()
            stop_seconds = time.monotonic() - stopped
    if not minutes or not frame_times_ms:
        print("soak: nothing arrived", file=sys.stderr)
        return 1
    verdict = _verdict(minutes, frame_times_ms, status)
    print(f"figures of the run: {figures[-1] if figures else 'none'}")
    print(f"stopped {stop_seconds:.2f} s after SIGTERM")
    for promise, (holds, words) in verdict.items():
        print(f"{promise}: {words}: {'holds' if holds else 'DOES NOT HOLD'}")
    results = {
        "benchmark": "soak",
        "source": args.source,
        "sets": args.sets,
        "minutes": [minute.summary() for minute in minutes],
        "verdict": {promise: {"holds": holds, "words": words} for promise, (holds, words) in verdict.items()},
        "stages_ms": status.get("stages_ms"),
        "drops": status.get("drops"),
        "stop_seconds": round(stop_seconds, 3),
        "figures": figures[-1] if figures else None,
    }
    report(results, args.json)
    return 0 if all(holds for holds, _ in verdict.values()) else 1


def _endpoints(run: subprocess.Popen[str]) -> dict[str, str]:
    """Read the endpoints that a run prints first."""
    found: dict[str, str] = {}
    deadline = time.monotonic() + START_SECONDS
    assert run.stdout is not None
    while "control" not in found and time.monotonic() < deadline:
        line = run.stdout.readline()
        if not line:
            raise SystemExit(f"soak: streamseg run ended with exit code {run.wait()} before it published")
        name, _, endpoint = line.strip().partition(" at ")
        found[name] = endpoint
    return found


def _listen(
    subscriber: Subscriber, process: psutil.Process, seconds: float, frame_times_ms: list[float]
) -> Iterator[Minute]:
    """Yield minutes as they pass; append to `frame_times_ms` with each message."""
    last: Message | None = None
    last_arrival = sample_at = started = time.monotonic()
    minute_started = started
    minute = Minute()
    while True:
        message = subscriber.receive(SAMPLE_SECONDS)
        now = time.monotonic()
        if message is not None:
            minute.ages_ms.append(message.age_ms)
            minute.arrival_ages_ms.append(message_age_ms(message))
            minute.num_objects += len(message.objects)
            if last is not None and message.frame_index > last.frame_index:
                step_ns = message.captured_ns - last.captured_ns
                frame_times_ms.append(step_ns / 1e6 / (message.frame_index - last.frame_index))
            last = message
        minute.longest_silence_seconds = max(minute.longest_silence_seconds, now - last_arrival)
        if message is not None:
            last_arrival = now
        if now >= sample_at:
            minute.rss_mb.append(process.memory_info().rss / 1e6)
            sample_at = now + SAMPLE_SECONDS
        is_over = now - started >= seconds
        if now - minute_started >= 60.0 or is_over:
            minute.seconds = now - minute_started
            yield minute
            minute, minute_started = Minute(), now
        if is_over:
            return


def _verdict(minutes: list[Minute], frame_times_ms: list[float], status: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    """Return for each promise whether it holds, with the figures."""
    frame_ms = float(np.median(frame_times_ms))
    stages = status["stages_ms"]
    network_ms = stages.get("network", stages["segment"])[1]
    age_ms = _percentiles([age for minute in minutes for age in minute.ages_ms], 95)[0]
    limit_ms = FRAME_TIMES * frame_ms + network_ms
    # The first minute fills caches and pools; memory must not grow afterwards.
    after = [value for minute in minutes[1:] for value in minute.rss_mb]
    words = "a minute of warm-up and a minute to measure are needed"
    growth_percent = math.nan
    if len(after) >= 30:
        slope, start = np.polyfit(np.arange(len(after)), after, 1)
        growth_percent = float(slope) * len(after) / float(start) * 100
        words = f"{after[0]:.1f} MB to {after[-1]:.1f} MB, the line grows by {growth_percent:+.2f} %"
    return {
        "age": (
            age_ms < limit_ms,
            f"p95 {age_ms:.0f} ms, limit {limit_ms:.0f} ms = 3 x {frame_ms:.1f} + network {network_ms:.0f}",
        ),
        "memory": (abs(growth_percent) < MAX_GROWTH_PERCENT or growth_percent < 0, words),
    }


def _percentiles(values: list[float], *percents: float) -> list[float]:
    return [float(value) for value in np.percentile(values, percents)] if values else [math.nan] * len(percents)


def _line(summary: dict[str, float]) -> str:
    return (
        f"{summary['fps']:.1f} fps, {summary['objects']:.1f} objects,"
        f" age p50 {summary['age_p50_ms']:.0f} p95 {summary['age_p95_ms']:.0f} p99 {summary['age_p99_ms']:.0f} ms"
        f" (at the subscriber p95 {summary['arrival_p95_ms']:.0f}), drops {summary['drops']},"
        f" longest silence {summary['longest_silence_seconds']:.1f} s, {summary['rss_mb']:.1f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
