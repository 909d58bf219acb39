"""What a subscriber sees of a run, minute by minute, and the memory of its process."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from streamseg.publish import message_age_ms
from streamseg.structures.message import Message

__all__ = ["Minute", "listen", "percentiles"]

SAMPLE_SECONDS = 1.0


class Subscribes(Protocol):
    """The part of a subscriber that is used."""

    def receive(self, timeout_seconds: float) -> Message | None: ...


@dataclass
class Minute:
    """Measurements of one minute."""

    ages_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Ages by source id."""
    arrival_ages_ms: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    """One value per second."""
    resident_mb: dict[str, float] = field(default_factory=dict)
    """The same by kind of mapping, at the end of the minute."""
    cores: float = math.nan
    """Number of cores that the run has used on average."""
    num_objects: int = 0
    longest_silence_seconds: float = 0.0
    """Longest time between two messages of any source."""
    num_drops: int = 0
    """Total number of drops since the start, at the end of the minute."""
    drops: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """The same by source id, stage and reason."""
    states: dict[str, str] = field(default_factory=dict)
    """State of each source at the end of the minute."""
    seconds: float = 60.0

    @property
    def all_ages_ms(self) -> list[float]:
        """Ages of all sources."""
        return [age for ages in self.ages_ms.values() for age in ages]

    def summary(self) -> dict[str, Any]:
        """Return the figures of the minute; NaN if nothing arrived."""
        p50, p95, p99 = percentiles(self.all_ages_ms, 50, 95, 99)
        arrival_p50, arrival_p95 = percentiles(self.arrival_ages_ms, 50, 95)
        count = len(self.arrival_ages_ms)
        return {
            "fps": count / self.seconds,
            "age_p50_ms": p50,
            "age_p95_ms": p95,
            "age_p99_ms": p99,
            "sources": {
                source_id: {"fps": len(ages) / self.seconds, "age_p99_ms": percentiles(ages, 99)[0]}
                for source_id, ages in sorted(self.ages_ms.items())
            },
            "states": self.states,
            "arrival_p50_ms": arrival_p50,
            "arrival_p95_ms": arrival_p95,
            "objects": self.num_objects / count if count else math.nan,
            "longest_silence_seconds": self.longest_silence_seconds,
            "drops": self.num_drops,
            "drops_by_source": self.drops,
            "rss_mb": float(np.mean(self.rss_mb)) if self.rss_mb else math.nan,
            "resident_mb": self.resident_mb,
            "cores": self.cores,
        }


def listen(
    subscriber: Subscribes, rss_bytes: Callable[[], int], seconds: float, frame_times_ms: list[float]
) -> Iterator[Minute]:
    """Yield minutes as they pass; append to `frame_times_ms` the frame time of the source with each message."""
    last: dict[str, Message] = {}
    last_arrival = sample_at = started = time.monotonic()
    minute_started = started
    minute = Minute()
    while True:
        message = subscriber.receive(SAMPLE_SECONDS)
        now = time.monotonic()
        if message is not None:
            minute.ages_ms[message.source_id].append(message.age_ms)
            minute.arrival_ages_ms.append(message_age_ms(message))
            minute.num_objects += len(message.objects)
            before = last.get(message.source_id)
            if before is not None and message.frame_index > before.frame_index:
                step_ns = message.captured_ns - before.captured_ns
                frame_times_ms.append(step_ns / 1e6 / (message.frame_index - before.frame_index))
            last[message.source_id] = message
        minute.longest_silence_seconds = max(minute.longest_silence_seconds, now - last_arrival)
        if message is not None:
            last_arrival = now
        if now >= sample_at:
            minute.rss_mb.append(rss_bytes() / 1e6)
            sample_at = now + SAMPLE_SECONDS
        is_over = now - started >= seconds
        if now - minute_started >= 60.0 or is_over:
            minute.seconds = now - minute_started
            yield minute
            minute, minute_started = Minute(), now
        if is_over:
            return


def percentiles(values: list[float], *percents: float) -> list[float]:
    """Return percentiles; NaN if there are no values."""
    return [float(value) for value in np.percentile(values, percents)] if values else [math.nan] * len(percents)
