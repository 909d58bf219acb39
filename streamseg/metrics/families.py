"""Metrics of a run in Prometheus's data model, from its statistics; in base units, with names of `streamseg_…`.

Labels: `source` (id of the source), `stage`, `reason`, `state`, `sink`, `tier`, `outcome`, `kind`,
`device`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from streamseg import __version__
from streamseg.metrics.gpu import GpuMemory, gpu_memory
from streamseg.runtime import RunStats, SourceStats
from streamseg.runtime.sink_health import SinkState, SinkStats
from streamseg.structures.source_status import SOURCE_STATES
from streamseg.telemetry import BOUNDS_MS, Drops, Histogram
from streamseg.tiers import TierReport

__all__ = ["RunCollector", "metric_families"]

Latencies = Mapping[tuple[str, str], Histogram]
"""Histograms by (name, source id). The names `age` and `publish` are ages; all others are stages."""

AGES = {
    "age": ("streamseg_frame_age_seconds", "Age of a frame, from capture, when its message was made"),
    "publish": ("streamseg_publish_age_seconds", "Age of a frame, from capture, when its message was sent"),
}
UPPER_BOUNDS = [*(str(bound / 1000) for bound in BOUNDS_MS), "+Inf"]


class RunCollector(Collector):
    """Reads a run whenever Prometheus does.

    Args:
        read: returns the statistics and the histograms; None before the start of the run.
    """

    def __init__(self, read: Callable[[], tuple[RunStats, Latencies] | None]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of now."""
        found = self._read()
        return [] if found is None else metric_families(*found, gpu_memory())

    def describe(self) -> Iterable[Metric]:
        """Return no metrics: registering must not read the run."""
        return []


def metric_families(stats: RunStats, latencies: Latencies, gpus: Sequence[GpuMemory] = ()) -> Iterator[Metric]:
    """Yield all metrics of a run.

    Args:
        stats: the statistics of the run.
        latencies: histograms of stages and ages, in ms.
        gpus: memory of the GPUs.
    """
    yield _gauge("streamseg_info", "Version of streamseg; the value is 1", ["version"], [([__version__], 1)])
    yield _gauge("streamseg_uptime_seconds", "Time since the start of the run", [], [([], stats.seconds)])
    yield _gauge("streamseg_paused", "1 while the run is paused", [], [([], stats.is_paused)])
    yield from _source_families(stats.sources)
    yield from _sink_families(stats.sinks)
    yield from _tier_families(stats.tiers)
    yield from _latency_families(latencies)
    for name, text, values in (
        ("used", "Used by all processes", [gpu.used for gpu in gpus]),
        ("total", "Size", [gpu.total for gpu in gpus]),
        ("allocated", "Allocated by torch in this process", [gpu.allocated for gpu in gpus]),
    ):
        rows = [([gpu.device], value) for gpu, value in zip(gpus, values, strict=True)]
        yield _gauge(f"streamseg_gpu_memory_{name}_bytes", f"GPU memory. {text}", ["device"], rows)


def _source_families(sources: Sequence[SourceStats]) -> Iterator[Metric]:
    def each(value: Callable[[SourceStats], float | None]) -> list[_Row]:
        found = [(source.source_id, value(source)) for source in sources]
        return [([source_id], number) for source_id, number in found if number is not None and math.isfinite(number)]

    by_source = ["source"]
    yield _counter("streamseg_frames", "Finished frames", by_source, each(lambda source: source.num_frames))
    yield _gauge("streamseg_frame_rate", "Finished frames per second", by_source, each(lambda source: source.fps))
    yield _gauge("streamseg_objects", "Objects in the latest message", by_source, each(lambda one: one.num_objects))
    yield _gauge(
        "streamseg_source_silent_seconds",
        "Time since the last finished frame; absent before the first",
        by_source,
        each(lambda source: source.silent_seconds),
    )
    yield _gauge(
        "streamseg_source_state_seconds", "Time in the state", by_source, each(lambda source: source.state_seconds)
    )
    yield _gauge(
        "streamseg_source_state",
        "1 for the state of the source, else 0",
        ["source", "state"],
        [([one.source_id, state], state == one.state) for one in sources for state in SOURCE_STATES],
    )
    yield _gauge(
        "streamseg_degradation_step",
        "Step of reduced quality for the deadline of the source; 0: the configured quality",
        by_source,
        each(lambda source: source.degradation.step),
    )
    yield _counter(
        "streamseg_source_connections",
        "Connections that delivered a frame",
        by_source,
        each(lambda source: source.num_connections),
    )
    yield _counter(
        "streamseg_source_discontinuities",
        "Mended discontinuities of time stamps",
        ["source", "kind"],
        [([one.source_id, kind], number) for one in sources for kind, number in one.discontinuities.items()],
    )
    yield _counter(
        "streamseg_drops",
        "Dropped frames, by the stage that dropped them and the reason",
        ["source", "stage", "reason"],
        [([one.source_id, *labels], number) for one in sources for labels, number in _flat(one.drops)],
    )


def _sink_families(sinks: Sequence[SinkStats]) -> Iterator[Metric]:
    yield _gauge(
        "streamseg_sink_state",
        "1 for the state of the sink, else 0",
        ["sink", "state"],
        [([sink.name, state], state == sink.state) for sink in sinks for state in get_args(SinkState)],
    )
    yield _counter(
        "streamseg_sink_frames", "Frames written", ["sink"], [([sink.name], sink.num_written) for sink in sinks]
    )
    yield _counter(
        "streamseg_sink_drops",
        "Frames not written, by source and reason",
        ["sink", "source", "reason"],
        [([sink.name, *labels], number) for sink in sinks for labels, number in _flat(sink.drops)],
    )


def _tier_families(tiers: Sequence[TierReport]) -> Iterator[Metric]:
    yield _gauge(
        "streamseg_tier_failed",
        "1 if the model of the tier raised an error and is not used any more",
        ["tier"],
        [([one.tier], one.state == "failed") for one in tiers],
    )
    yield _counter(
        "streamseg_tier_objects",
        "Objects by what the tier did for them",
        ["tier", "outcome"],
        [([one.tier, outcome], number) for one in tiers for outcome, number in one.counts.items()],
    )


def _latency_families(latencies: Latencies) -> Iterator[Metric]:
    stages = HistogramMetricFamily(
        "streamseg_stage_seconds",
        "Duration of a stage. A batch counts once for each of its frames",
        labels=["source", "stage"],
    )
    ages = {name: HistogramMetricFamily(*texts, labels=["source"]) for name, texts in AGES.items()}
    for (name, source_id), histogram in latencies.items():
        buckets = list(zip(UPPER_BOUNDS, accumulate(histogram.counts), strict=True))
        if name in ages:
            ages[name].add_metric([source_id], buckets, histogram.sum_ms / 1000)
        else:
            stages.add_metric([source_id, name], buckets, histogram.sum_ms / 1000)
    yield from (*ages.values(), stages)


_Row = tuple[list[str], float]
"""Values of the labels, and the value of the metric."""


def _gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[_Row]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, float(number))
    return family


def _counter(name: str, text: str, labels: Sequence[str], rows: Iterable[_Row]) -> Metric:
    """Return a counter; its name in the text gets the suffix `_total`."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, float(number))
    return family


def _flat(drops: Drops) -> list[tuple[list[str], int]]:
    return [([key, reason], number) for key, reasons in drops.items() for reason, number in reasons.items()]
