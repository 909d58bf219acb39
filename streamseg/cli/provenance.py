"""Provenance of measurements: time, machine and versions, without which a figure means nothing."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["priority", "provenance"]

PACKAGES = (
    *("streamseg", "torch", "onnxruntime-gpu", "onnxruntime", "opencv-python", "numpy", "scipy", "av", "pyzmq"),
    *("openvino", "nncf", "pycocotools"),
)


def provenance() -> dict[str, Any]:
    """Return time, command, machine, load, priority and package versions of this process as JSON values."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "machine": f"{_processor()}, {os.cpu_count()} CPUs",
        "gpu": _gpu(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "priority": priority(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": versions,
    }


def priority() -> str | None:
    """Return the scheduling priority of this process in words; None if the system does not tell."""
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        return f"real time ({os.sched_getparam(0).sched_priority})"
    return f"nice {os.nice(0)}" if hasattr(os, "nice") else None


def _processor() -> str:
    """Return the name of the processor; on systems other than Linux, what `platform` reports."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
