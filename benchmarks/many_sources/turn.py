"""One turn of the benchmark: a run with one set of live sources, in a process of its own.

It runs by its path, with any version of the package on PYTHONPATH, and prints one line of JSON:

    python benchmarks/many_sources/turn.py '{"sources": [{"type": "scene", …}], "seconds": 10, "warmup_seconds": 4}'
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.cli.modes import open_mode
from streamseg.config import Config
from streamseg.runtime.session import open_runtime


@dataclass
class Collector:
    """Sink that keeps the age of each frame, by source id."""

    ages_ms: dict[str, list[float]] = field(default_factory=dict)

    def write(self, result: Any) -> None:
        """Keep one age."""
        self.ages_ms.setdefault(result.frame.source_id, []).append(result.message.age_ms)

    def close(self) -> None:
        """Nothing to release."""


def thread_seconds() -> dict[str, float]:
    """Return the CPU seconds of the Python threads so far: of capture, and of each other thread by its name."""
    seconds: dict[str, float] = {}
    for thread in threading.enumerate():
        try:
            text = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text(encoding="ascii")
        except OSError:
            continue  # it has just ended
        name = thread.name.split(" ")[0]
        seconds[name] = seconds.get(name, 0.0) + int(text.split()[0]) / 1e9
    return seconds


@dataclass
class Window:
    """The measured part of a run: what had happened at its beginning, subtracted at its end."""

    collector: Collector
    started: float = 0.0
    cpu_seconds: float = 0.0
    by_thread: dict[str, float] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Begin after the warm-up."""
        self.first = {source_id: len(ages) for source_id, ages in self.collector.ages_ms.items()}
        self.started, self.cpu_seconds, self.by_thread = time.monotonic(), time.process_time(), thread_seconds()

    def results(self, source_ids: list[str]) -> dict[str, Any]:
        """Return the figures of the window."""
        seconds = time.monotonic() - self.started
        cpu_seconds, by_thread = time.process_time() - self.cpu_seconds, thread_seconds()
        ages = {one: self.collector.ages_ms.get(one, [])[self.first.get(one, 0) :] for one in source_ids}
        num_frames = sum(map(len, ages.values()))
        every = [age for of_source in ages.values() for age in of_source]
        used = {name: value - self.by_thread.get(name, 0.0) for name, value in by_thread.items()}
        return {
            "seconds": round(seconds, 3),
            "num_frames": num_frames,
            "fps": round(num_frames / seconds, 3),
            "frames_per_cpu_second": round(num_frames / cpu_seconds, 3),
            "cores_used": round(cpu_seconds / seconds, 3),
            "capture_share": round(used.get("capture", 0.0) / cpu_seconds, 4),
            "age_ms": _percentiles(every),
            "sources": {one: {"num_frames": len(found), **_percentiles(found)} for one, found in ages.items()},
        }


def _percentiles(values: list[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p95": None}
    p50, p95 = np.percentile(values, (50, 95))
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}


def main() -> None:
    settings = json.loads(sys.argv[1])
    config = Config.model_validate(
        {
            "sources": settings["sources"],
            "publish": {"endpoint": None, "control_endpoint": None},
            **settings.get("config", {}),
        }
    )
    collector = Collector()
    window = Window(collector)
    source_ids = [source.id for source in config.named_sources()]
    found: dict[str, Any] = {}
    with open_runtime(config, open_mode(config.mode), [collector]) as session:

        def on_stats(stats: Any) -> None:
            now = time.monotonic()
            if not window.started:
                window.begin()
            elif not found and now - window.started >= settings["seconds"]:
                found.update(window.results(source_ids), drops=stats.drops)
                session.runtime.stop()

        session.runtime.run(on_stats, interval_seconds=settings["warmup_seconds"])
        stages = session.runtime.pipeline.timer.stages
        found["stages_ms"] = {name: round(times.at(50)[0], 2) for name, times in stages.items()}
    print(json.dumps(found), flush=True)
    # On a busy machine the network's thread may still be in its last batch, which no orderly exit survives.
    os._exit(0)


if __name__ == "__main__":
    main()
