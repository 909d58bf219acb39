"""The fastest engine for weights on this machine, remembered between runs.

A choice is one small file in the cache folder, named by the hash of everything that it depends on: how it was measured,
processor, number of threads, versions, weights, 8-bit graph and candidates. If one of them changes, another file is
looked up. Files are replaced as a whole, so that processes that measure at the same time do not disturb each other; the
last one is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

import torch

from streamseg.engines.export import GRAPH_VERSION
from streamseg.errors import WeightsError
from streamseg.paths import cache_folder
from streamseg.weights import write_atomically

__all__ = ["choice_key", "choice_path", "read_choice", "write_choice"]

MEASUREMENT: Final = "2"
"""Version of the measurement, to be raised if choices of an earlier one may be wrong. 1 kept those of busy machines."""

_PACKAGES: Final = ("streamseg", "torch", "onnxruntime", "onnxruntime-gpu", "openvino")

_PROCESSOR_FIELDS: Final = ("vendor_id", "cpu family", "model", "model name", "flags", "Features", "CPU part")
"""Lines of /proc/cpuinfo that describe what a processor can do, on x86 and on ARM."""

_logger = logging.getLogger(__name__)


def choice_key(**subject: str) -> dict[str, str]:
    """Return everything that a choice depends on: the machine, the versions, and the given entries."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "measurement": MEASUREMENT,
        "processor": _processor(),
        "cpus": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "versions": json.dumps(versions),
        "graph_version": GRAPH_VERSION,
        **subject,
    }


def choice_path(key: Mapping[str, str]) -> Path:
    """Return the path of a choice, which may not exist yet."""
    digest = hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()
    return cache_folder() / "engines" / f"{digest[:24]}.json"


def read_choice(key: Mapping[str, str]) -> str | None:
    """Return the remembered engine; None if there is none, or its file is damaged."""
    path = choice_path(key)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _logger.warning("the measured choice of the engine in %s is unreadable, so it is repeated: %s", path, error)
        return None
    chosen = stored.get("engine") if isinstance(stored, dict) and stored.get("key") == dict(key) else None
    return chosen if isinstance(chosen, str) else None


def write_choice(key: Mapping[str, str], engine: str, seconds: Mapping[str, float]) -> None:
    """Remember an engine, with the measured times. A folder that cannot be written is logged."""
    milliseconds = {name: round(duration * 1000, 3) for name, duration in seconds.items()}
    content = {"engine": engine, "milliseconds": milliseconds, "key": dict(key)}
    path = choice_path(key)
    try:
        with write_atomically(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except WeightsError as error:
        _logger.warning("the choice of the engine is not remembered, so it will be measured again: %s", error)


def _processor() -> str:
    """Return the processor's name with a hash of its features."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return platform.processor() or platform.machine()
    first = cpuinfo.read_text(encoding="utf-8").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    fields = {name.strip(): value.strip() for name, _, value in pairs}
    features = "\n".join(fields.get(name, "") for name in _PROCESSOR_FIELDS)
    return f"{fields.get('model name', platform.machine())} {hashlib.sha256(features.encode()).hexdigest()[:12]}"
