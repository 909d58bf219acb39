"""Age of what slow subscribers read, and what one stopped subscriber of many does to the others.

A publisher in this process sends messages with images of 100 kB at 30 Hz; their age is zero when they are published.
The slow readers take 5 messages a second. Then many subscribers read the masks, in turns without and with one of them
stopped by SIGSTOP. Everything is on loopback.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import psutil

from benchmarks.harness import parser, report
from benchmarks.subscribers.readers import READERS
from streamseg.publish import Publisher
from streamseg.structures.mask import CropMask
from streamseg.structures.message import Message, MessageObject

WARM_UP = 3
"""Number of first readings of each reader that do not count: the connection begins with old messages or none."""
IMAGE_BYTES = 100_000
SIZE = (720, 1280)


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--fps", type=float, default=30.0, help="messages per second (30)")
    arguments.add_argument("--seconds", type=float, default=20.0, help="duration of each slow reader (20)")
    arguments.add_argument(
        "--readers",
        default="all",
        choices=["all", "none", *(name for name in READERS if name != "many")],
        metavar="NAME",
        help="one slow reader, or none (all)",
    )
    arguments.add_argument("--subscribers", type=int, default=200, help="number of fast subscribers; 0: skip (200)")
    arguments.add_argument("--many-fps", type=float, default=5.0, help="messages per second to them (5)")
    arguments.add_argument("--rounds", type=int, default=3, help="turns without and with a stopped subscriber (3)")
    args = arguments.parse_args()
    names = [name for name in READERS if name != "many" and args.readers in ("all", name)]
    results: dict[str, object] = {"benchmark": "subscribers", "fps": args.fps}
    if names:
        results["slow_readers"] = _slow_readers(names, args.fps, args.seconds)
    if args.subscribers:
        results["stopped"] = _one_stopped(args.subscribers, args.many_fps, args.rounds)
    report(results, args.json)
    return 0


def _message() -> Message:
    crop = CropMask(np.ones((80, 60), np.bool_), 100, 100)
    found = [MessageObject(n, ("everything",), (100.0, 100.0, 160.0, 180.0), 0.9, crop, 4800) for n in range(5)]
    jpeg = np.random.default_rng(0).bytes(IMAGE_BYTES)  # subscribers do not decode it
    return Message("cam0", 0, 0, "driver", 0.0, SIZE, SIZE, (1.0, 1.0, 0.0, 0.0), tuple(found), jpeg=jpeg)


@contextlib.contextmanager
def _publishing(fps: float) -> Iterator[Publisher]:
    """Publish at a steady rate."""
    message, ended = _message(), threading.Event()
    with Publisher("tcp://127.0.0.1:0", single_endpoint="tcp://127.0.0.1:0") as publisher:

        def publish() -> None:
            number, due = 0, time.monotonic()
            while not ended.wait(max(due - time.monotonic(), 0.0)):
                publisher.publish(replace(message, frame_index=number, captured_ns=time.time_ns()))
                number += 1
                due = max(due + 1 / fps, time.monotonic() - 1 / fps)

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield publisher
        finally:
            ended.set()
            thread.join()


def _start(name: str, endpoint: str, seconds: float, number: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.subscribers.readers", name, endpoint, str(seconds), str(number)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _ages(process: subprocess.Popen[str]) -> list[float]:
    output, _ = process.communicate()
    ages: list[float] = json.loads(output)
    return ages


def _percentiles(ages: list[float]) -> dict[str, float | int]:
    p50, p95, p99 = (round(float(value), 1) for value in np.percentile(ages, (50, 95, 99)))
    return {"messages": len(ages), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


def _slow_readers(names: list[str], fps: float, seconds: float) -> list[dict[str, object]]:
    """Run slow readers in turn."""
    rows: list[dict[str, object]] = []
    with _publishing(fps) as publisher:
        for name in names:
            endpoint = publisher.single_endpoint if "CONFLATE" in name else publisher.endpoint
            assert endpoint is not None
            row: dict[str, object] = {"reader": name, **_percentiles(_ages(_start(name, endpoint, seconds))[WARM_UP:])}
            rows.append(row)
            line = f"{name:<52} p50 {row['p50_ms']:>8} p95 {row['p95_ms']:>8} ms, {row['messages']} messages"
            print(line, flush=True)
    return rows


def _one_stopped(num_subscribers: int, fps: float, rounds: int) -> dict[str, object]:
    """Measure many subscribers in turns: all of them read, or one more is stopped."""
    ages: dict[str, list[float]] = {"undisturbed": [], "one stopped": []}
    process = psutil.Process()
    with _publishing(fps) as publisher:
        rss_mb = [process.memory_info().rss / 1e6]
        for _ in range(rounds):
            for name, found in ages.items():
                stopped = _start("SUB socket", publisher.endpoint, 3600.0) if name == "one stopped" else None
                if stopped is not None:
                    time.sleep(2.0)  # it is connected, and has received some messages
                    stopped.send_signal(signal.SIGSTOP)
                readers = [_start("many", publisher.endpoint, 8.0, num_subscribers // 2) for _ in range(2)]
                for reader in readers:
                    # The first seconds belong to the connections.
                    found += (values := _ages(reader))[len(values) // 4 :]
                rss_mb.append(process.memory_info().rss / 1e6)
                if stopped is not None:
                    stopped.kill()
                    stopped.wait()
        drops = publisher.drops("cam0").get("publish", {})
    rows = {name: _percentiles(found) for name, found in ages.items()}
    ratio = round(float(rows["one stopped"]["p99_ms"]) / float(rows["undisturbed"]["p99_ms"]), 3)
    for name, row in rows.items():
        print(f"{num_subscribers} subscribers, {name:<12} p50 {row['p50_ms']:>7} p99 {row['p99_ms']:>7} ms", flush=True)
    print(f"p99 with one stopped: {ratio} of undisturbed; RSS of the publisher {rss_mb[0]:.0f} to {max(rss_mb):.0f} MB")
    return {
        "subscribers": num_subscribers,
        "fps": fps,
        **rows,
        "p99_ratio": ratio,
        "rss_mb": [round(value, 1) for value in rss_mb],
        "drops": drops,
    }


if __name__ == "__main__":
    raise SystemExit(main())
