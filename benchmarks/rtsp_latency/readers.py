"""RTSP readers to compare. Each yields images with the time at which the program received them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator

import numpy as np

from benchmarks.rtsp_latency.ffplay import ffplay, has_ffplay
from streamseg.capture import open_source
from streamseg.config import StreamSource

__all__ = ["READERS", "Reading"]

Reading = tuple[np.ndarray, int, float | None]
"""Levels of the image (H, W), the monotonic time in ns at which it was decoded, and the time in ms from the first byte
of its access unit, as far as the reader knows it."""


def _streamseg(url: str, **values: str) -> Generator[Reading]:
    source = open_source(StreamSource.model_validate({"id": "camera", "url": url, **values}))
    for frame in source.frames():
        now_ns = time.monotonic_ns()
        yield frame.image.mean(axis=2), now_ns, (now_ns - frame.received_ns) / 1e6


def _opencv(url: str) -> Generator[Reading]:
    import cv2

    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp"
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
    try:
        while True:
            is_read, image = capture.read()
            if not is_read:
                return
            yield image.mean(axis=2), time.monotonic_ns(), None
    finally:
        capture.release()


def _pyav(url: str) -> Generator[Reading]:
    """The options that guides recommend to ffplay: -fflags nobuffer -flags low_delay."""
    import av

    options = {"rtsp_transport": "tcp", "fflags": "nobuffer", "probesize": "32", "analyzeduration": "0"}
    with av.open(url, options=options) as container:
        context = container.streams.video[0].codec_context
        context.flags |= av.codec.context.Flags.low_delay.value
        context.thread_type = "SLICE"
        for frame in container.decode(video=0):
            image = frame.to_ndarray(format="rgb24")
            yield image.mean(axis=2), time.monotonic_ns(), None


_FFPLAY: dict[str, Callable[[str], Generator[Reading]]] = {
    "ffplay -fflags nobuffer": lambda url: ffplay(url, "-fflags", "nobuffer"),
    "ffplay -fflags nobuffer -flags low_delay": lambda url: ffplay(url, "-fflags", "nobuffer", "-flags", "low_delay"),
}
READERS: dict[str, Callable[[str], Generator[Reading]]] = {
    "streamseg, reader: rtp": lambda url: _streamseg(url, transport="tcp"),
    "streamseg, reader: rtp, UDP": lambda url: _streamseg(url, transport="udp"),
    "streamseg, reader: ffmpeg": lambda url: _streamseg(url, reader="ffmpeg"),
    "OpenCV VideoCapture": _opencv,
    "PyAV, nobuffer, low_delay": _pyav,
    **(_FFPLAY if has_ffplay() else {}),
}
"""Readers by name; ffplay only if it is installed."""
