"""All metrics that a run can have."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector

from streamseg.metrics.families import metric_families
from streamseg.metrics.gpu import GpuMemory
from streamseg.telemetry import Histograms
from streamseg.tiers import TierReport
from tests.support.run_stats import run_stats, sink_stats, source_stats

__all__ = ["EVERYTHING", "metric_labels", "some_latencies"]

EVERYTHING = run_stats(
    source_stats(drops={"mailbox": {"newer_frame": 3}, "publish": {"slow_subscriber": 1}}, discontinuities={"gap": 2}),
    source_stats("door", state="denied", num_frames=0, silent_seconds=None, fps=0.0, num_objects=0, drops={}),
    sinks=(sink_stats(state="degraded", drops={"cam0": {"slot_full": 4}}), sink_stats("recording cam0")),
    tiers=(
        TierReport("quality", "mobile-sam", counts={"improved": 30, "over_budget": 2}),
        TierReport("memory", "edgetam", "failed", "MemoryError"),
    ),
)


def some_latencies() -> Histograms:
    histograms = Histograms()
    for name in ("age", "publish", "network"):
        for milliseconds in (0.5, 30.0, 30.0, 1e6):
            histograms.add(name, "cam0", milliseconds)
    return histograms


def metric_labels() -> dict[str, set[str]]:
    """Labels by the name of each sample that a run with everything has."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(namespace="streamseg", registry=registry)
    families = [
        *metric_families(EVERYTHING, some_latencies().snapshot(), [GpuMemory("cuda:0", 2, 4, 1)]),
        *registry.collect(),
    ]
    found: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found
