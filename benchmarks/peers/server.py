"""The side that answers: reads requests, one JSON object per line, and times what is asked for. Python and NumPy only.

    {"op": "start", ...}                          loads weights; further keys are Start's
    {"op": "image", "path": ..., "conf": ...}   the image of the frames to come: uint8 (H, W, 3) RGB, .npy
    {"op": "frame", "stacked": false}             one frame, timed
    {"op": "answer", "path": ...}                 writes scores (K,) and masks (packed bits of (K, H, W)), .npz

Every request is answered by one line. The image lies in memory, in the program's own order of colours, before the
time runs; it stops when all masks are in memory at the image's size.
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
"""Of the warm-up before the baseline of memory: loads what is loaded once, and takes no memory that counts."""


@dataclass(frozen=True)
class Start:
    """What holds for all frames."""

    weights: str
    engine: str
    imgsz: int
    iou: float
    max_det: int
    num_threads: int


@dataclass(frozen=True)
class Frame:
    """One frame's figures."""

    total_ms: float
    """Picture to boxes, scores and masks."""
    network_ms: float
    """Of which the network with its decoding, as the program itself reports it."""
    num_objects: int
    """Objects with at least a pixel."""
    peak_mb: float
    """Largest resident size during the frame above the baseline."""


class Side(Protocol):
    """A program that is compared."""

    def start(self, start: Start) -> dict[str, Any]:
        """Load weights and run a tiny image; answers versions and the like."""

    def picture(self, image: npt.NDArray[np.uint8], conf: float) -> None:
        """The image (H, W, 3) RGB and the threshold of the frames to come."""

    def frame(self, *, stacked: bool) -> float:
        """Segment the image and keep the masks, stacked to (K, H, W) if asked; answers the network's milliseconds."""

    def num_objects(self) -> int:
        """Of the last frame: objects with at least a pixel."""

    def answer(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Of the last frame: scores (K,) and masks (K, H, W)."""

    def forget(self) -> None:
        """Let the last frame's answer go."""


def taken_stdout() -> TextIO:
    """Stdout for answers alone: from here on, whatever is printed goes to stderr. To be called before it is."""
    taken = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return taken


def serve(side: Side, requests: TextIO, answers: TextIO) -> None:
    """Answer request by request, until there are no more."""
    baseline_kb = 0
    for line in requests:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        op = request.pop("op")
        if op == "start":
            answer = side.start(Start(**request))
            side.forget()
            give_memory_back()
            baseline_kb = resident_kb()
            answer["baseline_mb"] = round(baseline_kb / 1024, 1)
        elif op == "picture":
            side.picture(np.load(request["path"]), request["conf"])
        elif op == "frame":
            answer = asdict(timed_frame(side, baseline_kb, stacked=request["stacked"]))
        elif op == "answer":
            write_answer(side, request["path"])
        else:
            raise ValueError(f"no request {op!r}; there are start, image, frame and answer")
        print(json.dumps(answer), file=answers, flush=True)


def timed_frame(side: Side, baseline_kb: int, *, stacked: bool) -> Frame:
    """One frame; the last one's answer is let go before."""
    side.forget()
    forget_peak()
    started = time.perf_counter()
    network_ms = side.frame(stacked=stacked)
    total_ms = (time.perf_counter() - started) * 1000
    peak_mb = (peak_kb() - baseline_kb) / 1024
    return Frame(round(total_ms, 3), round(network_ms, 3), side.num_objects(), round(peak_mb, 1))


def write_answer(side: Side, path: str) -> None:
    """The last frame's answer to a file; nothing of it stays in memory."""
    scores, masks = side.answer()
    np.savez(path, scores=scores, masks=np.packbits(masks), shape=masks.shape)
    del scores, masks
    side.forget()
    give_memory_back()


def give_memory_back() -> None:
    """What is free goes back to the system, lest frames be served from what loading has left."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident_kb() -> int:
    """Resident memory; where there is no /proc, its peak."""
    return _status("VmRSS")


def peak_kb() -> int:
    """Most resident memory since `forget_peak` (or, where there is no /proc, since the start): ru_maxrss."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Let the peak of resident memory start from what is resident."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5", encoding="ascii")


def _status(name: str) -> int:
    path = Path("/proc/self/status")
    if not path.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
