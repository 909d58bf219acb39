"""Results as text: a line per measurement, and the table at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gpu.cases import Case, floors

__all__ = ["describe", "summary", "verdict"]


def describe(record: Mapping[str, Any]) -> str:
    """Return one record as text."""
    title = f"{record['case']:7} {record['kind']:6}" + (f" {record['mode']}" if record["kind"] == "frames" else "")
    if record["state"] != "measured":
        return f"{title}: {record['state']}: {record['reason']}"
    describers = {"check": _check, "frames": _frames, "stages": _stages, "live": _live}
    memory = f" | peak {record['peak_mb']:.0f} MB" if "peak_mb" in record else ""
    return f"{title}: {describers[record['kind']](record)}{memory} | took {record['took_seconds']:.1f} s"


def summary(records: Sequence[Mapping[str, Any]], cases: Sequence[Case]) -> str:
    """Return the table: of each case the medians in ms, what was not measured, and the estimated floors."""
    lines = [
        "p50 in ms per batch: capture to message by mode | step as a graph, network in it | age when sent at 30 fps"
    ]
    for case in cases:
        of = {(one["kind"], one["mode"]): one for one in records if one["case"] == case.name}
        modes = [f"{mode} {_end_to_end(one)}" for (kind, mode), one in of.items() if kind == "frames"]
        stages, live = of.get(("stages", "graph"), {}), of.get(("live", "graph"), {})
        graph, network = _p50(stages.get("graph_ms")), _p50(stages.get("stages_ms", {}).get("network"))
        age = _p50(live.get("at_30_fps", {}).get("age_ms"))
        name = f"{case.size} at {case.imgsz}, batch {case.batch}" + (", sharp masks" if case.sharp else "")
        lines += [f"{name}: {', '.join(modes)} | {graph}, {network} | {age}", f"    {floors(case)}".rstrip()]
    left = [one for one in records if one["state"] != "measured"]
    lines += [f"not measured: {one['case']} {one['kind']} {one['mode']}: {one['reason']}" for one in left]
    return "\n".join(line for line in lines if line)


def verdict(records: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    """Return the exit code and a line: 1 if a result differs from the CPU, or if none could be compared."""
    checks = [one for one in records if one["kind"] == "check"]
    measured = [one for one in checks if one["state"] == "measured"]
    different = [one["case"] for one in measured if not one["is_equal"]]
    if different:
        return 1, f"DIFFERENT FROM THE CPU: {', '.join(different)}"
    if checks and not measured:
        return 1, "nothing could be compared with the CPU"
    return 0, f"equal to the CPU: {', '.join(one['case'] for one in measured) or 'not compared'}"


def _check(record: Mapping[str, Any]) -> str:
    found = "equal to the CPU" if record["is_equal"] else "DIFFERENT FROM THE CPU"
    text = (
        f"{found}: {record['objects'][1]} of {record['objects'][0]} objects, boxes {record['boxes_px']:.4f} px,"
        f" scores {record['scores']:.6f}, masks {record['mask_pixels']:.6%} of pixels"
    )
    return text + _half(record.get("half"))


def _frames(record: Mapping[str, Any]) -> str:
    stages = ", ".join(f"{name} {timing.p50:.2f}" for name, timing in record["stages_ms"].items())
    parts = [
        f"capture to message {record['end_to_end_ms']}, {record['frames_per_second']:.0f} frames/s",
        f"\n       p50 of stages in ms: {stages}",
        f"\n       first batch {record['first_ms']:.0f} ms",
    ]
    if record.get("build_seconds") is not None:
        parts.append(f", plan {record['build_seconds']:.0f} s, network alone {record['network_ms']}")
    return "".join(parts) + _half(record.get("half_check"))


def _stages(record: Mapping[str, Any]) -> str:
    stages = ", ".join(f"{name} {timing.p50:.2f}" for name, timing in record["stages_ms"].items())
    graph = "" if record["graph_ms"] is None else f"; as one graph {record['graph_ms']}"
    return f"p50 in ms: {stages}{graph}; network {record['network_tflops']:.1f} TFLOPS"


def _live(record: Mapping[str, Any]) -> str:
    paced, fast = record["at_30_fps"], record["saturated"]
    return (
        f"{paced['cameras']} cameras at 30 fps: {_rate(paced)} messages/s, age when sent"
        f" {paced['age_ms']}\n       as fast as possible: {_rate(fast)} messages/s,"
        f" age when sent {fast['age_ms']}"
    )


def _rate(values: Mapping[str, Any]) -> str:
    rate = values["frames_per_second"]  # None for a single message
    return "-" if rate is None else f"{rate:.0f}"


def _half(values: Mapping[str, Any] | None) -> str:
    if values is None:
        return ""
    found = "close to float32" if values["is_close"] else "FAR FROM FLOAT32"
    scores, boxes = _number(values["scores_p99"]), _number(values["boxes_px_p99"])
    return f" | half precision {found}: p99 scores {scores}, boxes {boxes} px"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _end_to_end(record: Mapping[str, Any]) -> str:
    return _p50(record.get("end_to_end_ms"))


def _p50(timing: Any) -> str:
    return "-" if timing is None else f"{timing.p50:.2f}"
