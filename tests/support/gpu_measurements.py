"""Measurements that fail in several ways, for the process of `benchmarks.gpu`: what happens is chosen by the device."""

from __future__ import annotations

import os
import threading
from typing import Any

from benchmarks.gpu.workers import Request, Unavailable
from benchmarks.harness import Timing

TIMING = Timing(1.25, 2.0, 3.0, 9)
_RATE = {"cameras": 1, "frames_per_second": 30.0, "age_ms": TIMING}

RESULTS: dict[str, dict[str, Any]] = {
    "check": {"objects": [50, 50], "boxes_px": 0.01, "scores": 0.0, "mask_pixels": 0.0, "is_equal": True},
    "frames": {
        "stages_ms": {"network": TIMING},
        "end_to_end_ms": TIMING,
        "frames_per_second": 800.0,
        "first_ms": 9.0,
    },
    "stages": {"stages_ms": {"network": TIMING}, "graph_ms": TIMING, "network_tflops": 12.3},
    "live": {"at_30_fps": _RATE, "saturated": _RATE},
}
"""Values by kind."""


class OutOfMemoryError(RuntimeError):
    """As torch names its error."""


def act(request: Request) -> dict[str, Any]:
    """Do what `request.device` names; `x4 frames graph` runs out of memory."""
    if request.measurement.name == "x4 frames graph":
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation")
    if request.device == "exit":
        os._exit(7)
    if request.device == "hang":
        threading.Event().wait()
    if request.measurement.mode == "tensorrt":
        raise Unavailable("engine tensorrt needs TensorRT 10 or newer")
    return {"process": os.getpid(), "seconds": request.seconds, **RESULTS[request.measurement.kind]}
