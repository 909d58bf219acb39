"""Packages that only some subcommands need, and the extras that install them. Needs the standard library only."""

from __future__ import annotations

from typing import Final

__all__ = ["EXTRAS", "explain_missing"]

EXTRAS: Final = {
    "aiohttp": "viewer",
    "prometheus_client": "metrics",
    "foxglove": "foxglove",
    "matplotlib": "train,eval",
    "mcap": "record",
    "nncf": "quantize",
    "openvino": "openvino",
    "paho": "mqtt",
    "pi_heif": "heic",
    "pycocotools": "train,eval",
    "ray": "fleet",
    "rerun": "rerun",
    "rosbags": "record,ros,foxglove",
    "supervision": "zones",
    "tokenizers": "text",
    "transformers": "tiers",
}
"""Extras of streamseg by the top-level module that they install."""


def explain_missing(error: ModuleNotFoundError) -> str | None:
    """Return a missing package as one line that names the extra; None if a module of streamseg itself is missing."""
    name = (error.name or "").partition(".")[0]
    if name in ("", "streamseg"):
        return None
    if name in EXTRAS:
        return f"this needs {name}, which is not installed; run: pip install 'streamseg[{EXTRAS[name]}]'"
    return f"this needs the module {name}, which is not installed; install streamseg again with its dependencies"
