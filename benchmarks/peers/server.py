"""Server side: read requests, one JSON object per line, and time frames. Requires only Python and NumPy.

    {"op": "start", ...}                        load weights; the other keys are those of Start
    {"op": "image", "path": ..., "conf": ...}   set the image of the following frames: uint8 (H, W, 3) RGB, .npy
    {"op": "frame", "stacked": false}           run and time one frame
    {"op": "result", "path": ...}               write scores (K,) and masks (packed bits of (K, H, W)), .npz

The response to each request is one line. Timing starts with the image in memory, in the program's own channel order,
and stops when all masks are in memory at the image's size.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
import numpy.typing as npt

TINY_IMGSZ = 96
"""Input size of the warm-up before the memory baseline: it triggers one-time loading and uses little memory."""


@dataclass(frozen=True)
class Start:
    """Settings for all frames."""

    weights: str
    engine: str
    imgsz: int
    iou: float
    max_det: int
    num_threads: int


@dataclass(frozen=True)
class Frame:
    """Measurements of one frame."""

    total_ms: float
    """Time from the image to boxes, scores and masks."""
    network_ms: float
    """Time of the network and its decoding, as reported by the program itself."""
    num_objects: int
    """Number of objects with at least one pixel."""
    peak_mb: float
    """Peak resident size during the frame above the baseline."""


class Program(Protocol):
    """A compared program."""

    def start(self, start: Start) -> dict[str, Any]:
        """Load weights, run a tiny image and return versions and settings."""

    def set_image(self, image: npt.NDArray[np.uint8], conf: float) -> None:
        """Set the image (H, W, 3) RGB and the score threshold of the following frames."""

    def run_frame(self, *, stacked: bool) -> float:
        """Segment the image, keep the masks (stacked to (K, H, W) if requested), return the network's milliseconds."""

    def num_objects(self) -> int:
        """Return the number of objects with at least one pixel in the last frame."""

    def result(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Return scores (K,) and masks (K, H, W) of the last frame."""

    def release(self) -> None:
        """Release the result of the last frame."""


def reserve_stdout() -> TextIO:
    """Reserve stdout for responses and redirect all other output to stderr. Call it before anything is printed."""
    stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stdout


def serve(program: Program, requests: TextIO, responses: TextIO) -> None:
    """Process requests until the input ends."""
    baseline_kb = 0
    for line in requests:
        request = json.loads(line)
        response: dict[str, Any] = {}
        op = request.pop("op")
        if op == "start":
            response = program.start(Start(**request))
            program.release()
            trim_memory()
            baseline_kb = resident_kb()
            response["baseline_mb"] = round(baseline_kb / 1024, 1)
        elif op == "image":
            program.set_image(np.load(request["path"]), request["conf"])
        elif op == "frame":
            response = asdict(timed_frame(program, baseline_kb, stacked=request["stacked"]))
        elif op == "result":
            write_result(program, request["path"])
        else:
            raise ValueError(f"unknown request {op!r}; use start, image, frame or result")
        print(json.dumps(response), file=responses, flush=True)


def timed_frame(program: Program, baseline_kb: int, *, stacked: bool) -> Frame:
    """Run and measure one frame after releasing the result of the last one."""
    program.release()
    reset_peak()
    started = time.perf_counter()
    network_ms = program.run_frame(stacked=stacked)
    total_ms = (time.perf_counter() - started) * 1000
    peak_mb = (peak_kb() - baseline_kb) / 1024
    return Frame(round(total_ms, 3), round(network_ms, 3), program.num_objects(), round(peak_mb, 1))


def write_result(program: Program, path: str) -> None:
    """Write the result of the last frame to a file and release it."""
    scores, masks = program.result()
    np.savez(path, scores=scores, masks=np.packbits(masks), shape=masks.shape)
    del scores, masks
    program.release()
    trim_memory()


def trim_memory() -> None:
    """Return free memory to the system, so that frames do not reuse memory left over from loading."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident_kb() -> int:
    """Return the resident memory; its peak if there is no /proc."""
    return _status("VmRSS")


def peak_kb() -> int:
    """Return the peak resident memory since `reset_peak` (since the start if there is no /proc)."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Reset the peak resident memory to the current value."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5", encoding="ascii")


def _status(name: str) -> int:
    path = Path("/proc/self/status")
    if not path.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
