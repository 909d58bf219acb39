"""Metrics of made-up statistics, parsed by Prometheus's own client; and the Grafana board that shows them."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamseg.metrics.families import RunCollector, metric_families
from streamseg.metrics.gpu import GpuMemory
from streamseg.runtime import RunStats
from streamseg.structures.source_status import SOURCE_STATES
from streamseg.telemetry import BOUNDS_MS, Histograms
from tests.support.paths import REPOSITORY
from tests.support.run_metrics import EVERYTHING, metric_labels, some_latencies
from tests.support.run_stats import run_stats, source_stats

BOARD = REPOSITORY / "configs" / "grafana" / "streamseg.json"


def text_of(stats: RunStats, histograms: Histograms) -> str:
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(namespace="streamseg", registry=registry)
    registry.register(RunCollector(lambda: (stats, dict(histograms.snapshot()))))
    return generate_latest(registry).decode()


def samples_of(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Samples by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def samples() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return samples_of(text_of(EVERYTHING, some_latencies()))


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("streamseg_uptime_seconds", {}, 60.0),
        ("streamseg_paused", {}, 0.0),
        ("streamseg_frames_total", {"source": "cam0"}, 1800.0),
        ("streamseg_frame_rate", {"source": "door"}, 0.0),
        ("streamseg_objects", {"source": "cam0"}, 7.0),
        ("streamseg_source_state", {"source": "cam0", "state": "live"}, 1.0),
        ("streamseg_source_state", {"source": "door", "state": "live"}, 0.0),
        ("streamseg_source_state", {"source": "door", "state": "denied"}, 1.0),
        ("streamseg_source_state_seconds", {"source": "cam0"}, 60.0),
        ("streamseg_source_connections_total", {"source": "cam0"}, 1.0),
        ("streamseg_source_discontinuities_total", {"source": "cam0", "kind": "gap"}, 2.0),
        ("streamseg_drops_total", {"source": "cam0", "stage": "mailbox", "reason": "newer_frame"}, 3.0),
        ("streamseg_drops_total", {"source": "cam0", "stage": "publish", "reason": "slow_subscriber"}, 1.0),
        ("streamseg_sink_state", {"sink": "messages", "state": "degraded"}, 1.0),
        ("streamseg_sink_state", {"sink": "recording cam0", "state": "ok"}, 1.0),
        ("streamseg_sink_frames_total", {"sink": "messages"}, 1800.0),
        ("streamseg_sink_drops_total", {"sink": "messages", "source": "cam0", "reason": "slot_full"}, 4.0),
        ("streamseg_tier_failed", {"tier": "quality"}, 0.0),
        ("streamseg_tier_failed", {"tier": "memory"}, 1.0),
        ("streamseg_tier_objects_total", {"tier": "quality", "outcome": "over_budget"}, 2.0),
        ("streamseg_frame_age_seconds_count", {"source": "cam0"}, 4.0),
        ("streamseg_publish_age_seconds_bucket", {"source": "cam0", "le": "0.001"}, 1.0),
        ("streamseg_stage_seconds_bucket", {"source": "cam0", "stage": "network", "le": "0.02"}, 1.0),
        ("streamseg_stage_seconds_bucket", {"source": "cam0", "stage": "network", "le": "0.035"}, 3.0),
        ("streamseg_stage_seconds_bucket", {"source": "cam0", "stage": "network", "le": "10.0"}, 3.0),
        ("streamseg_stage_seconds_bucket", {"source": "cam0", "stage": "network", "le": "+Inf"}, 4.0),
        ("streamseg_stage_seconds_sum", {"source": "cam0", "stage": "network"}, 1000.0605),
    ],
)
def test_values(samples: dict[Any, float], name: str, labels: dict[str, str], value: float):
    assert samples[name, frozenset(labels.items())] == pytest.approx(value)


def test_unknown_values_are_absent(samples: dict[Any, float]):
    assert ("streamseg_source_silent_seconds", frozenset({("source", "door")})) not in samples
    assert not any(math.isnan(value) for value in samples.values())


def test_each_source_has_one_state(samples: dict[Any, float]):
    for source_id in ("cam0", "door"):
        states = {
            dict(labels)["state"]: value
            for (name, labels), value in samples.items()
            if name == "streamseg_source_state" and ("source", source_id) in labels
        }
        assert set(states) == set(SOURCE_STATES)
        assert sum(states.values()) == 1.0


def test_names_and_help():
    for family in metric_families(EVERYTHING, some_latencies().snapshot(), [GpuMemory("cuda:0", 2, 4, 1)]):
        assert re.fullmatch(r"streamseg_[a-z_]+", family.name)
        assert family.documentation
        assert family.samples, family.name


def test_process_memory_has_the_prefix(samples: dict[Any, float]):
    assert samples["streamseg_process_resident_memory_bytes", frozenset()] > 1e6


def test_before_the_run_there_is_nothing():
    assert list(RunCollector(lambda: None).collect()) == []


@given(source_id=st.text(st.characters(codec="utf-8"), min_size=1), reason=st.text(min_size=1, max_size=9))
def test_any_label_survives(source_id: str, reason: str):
    """Ids are restricted elsewhere; the text must be parseable nevertheless."""
    stats = run_stats(source_stats(source_id, drops={"mailbox": {reason: 1}}))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RunCollector(lambda: (stats, {})))
    reasons = [
        sample.labels
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if sample.name == "streamseg_drops_total"
    ]
    assert reasons == [{"source": source_id, "stage": "mailbox", "reason": reason}]


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_buckets_are_cumulative(values: list[float]):
    histograms = Histograms()
    for value in [0.0, *values]:
        histograms.add("age", "cam0", value)
    families = {family.name: family for family in metric_families(run_stats(), histograms.snapshot())}
    family = families["streamseg_frame_age_seconds"]
    buckets = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]
    assert len(buckets) == len(BOUNDS_MS) + 1
    assert buckets == sorted(buckets)
    assert buckets[-1] == len(values) + 1


# ---- the Grafana board


def board_queries(board: Path) -> Iterator[tuple[str, str]]:
    """Title of the panel and text of each query."""
    loaded = json.loads(board.read_text(encoding="utf-8"))
    for panel in loaded["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in loaded["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]


@pytest.mark.parametrize(("title", "query"), list(board_queries(BOARD)))
def test_board_queries_metrics_that_exist(title: str, query: str):
    labels = metric_labels()
    names = set(re.findall(r"streamseg_\w+", query))
    assert names
    assert names <= set(labels), title
    known = set.union(*(labels[name] for name in names))
    grouped = {word for group in re.findall(r"\bby \(([^)]*)\)", query) for word in re.split(r",\s*", group)}
    selected = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", query))
    assert grouped | selected <= known, title


def test_board_shows_every_metric():
    shown = " ".join(query for _, query in board_queries(BOARD))
    families = metric_families(EVERYTHING, some_latencies().snapshot(), [GpuMemory("cuda:0", 2, 4, 1)])
    missing = {family.name for family in families if family.name not in shown}
    assert missing == {
        "streamseg_info",
        "streamseg_uptime_seconds",
        "streamseg_paused",
        "streamseg_frame_rate",
        "streamseg_source_state_seconds",
    }


def test_board_fits_its_grid_and_its_ids_differ():
    loaded = json.loads(BOARD.read_text(encoding="utf-8"))
    ids = [panel["id"] for panel in loaded["panels"]]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for panel in loaded["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells), "panels overlap"
    assert max(x for x, _ in cells) < 24


def test_state_panel_names_every_state():
    (states,) = [panel for panel in json.loads(BOARD.read_text())["panels"] if panel["type"] == "state-timeline"]
    (mapping,) = states["fieldConfig"]["defaults"]["mappings"]
    numbers = {option["text"]: number for number, option in mapping["options"].items()}
    assert set(numbers) == set(SOURCE_STATES)
    for state, number in numbers.items():
        assert f'state="{state}"}} == 1) * {number}' in states["targets"][0]["expr"]
