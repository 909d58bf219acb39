"""Latency of RTSP readers: from the rendering of an image in the camera to its decoded frame.

GStreamer's RTSP server on loopback renders images that carry the time; encoding and transport are included. The readers
take turns in one run. "First byte" is the part of the latency since the first byte of the frame arrived.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing

import numpy as np

from benchmarks.harness import parser, report
from benchmarks.rtsp_latency.readers import READERS, Reading
from benchmarks.rtsp_latency.site import NO_CAMERA, camera, has_camera, read_code

WARM_UP_SECONDS = 1.0
"""The first frames wait for the start of the decoder."""


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--fps", type=int, nargs="+", default=[5, 15, 30], help="rates of the camera (5 15 30)")
    arguments.add_argument("--seconds", type=float, default=5.0, help="duration of each turn (5)")
    arguments.add_argument("--rounds", type=int, default=2, help="turns of each reader at each rate (2)")
    args = arguments.parse_args()
    if not has_camera():
        print(f"rtsp_latency: {NO_CAMERA}", file=sys.stderr)
        return 2
    rows = []
    for fps in args.fps:
        latencies_ms: dict[str, list[float]] = {name: [] for name in READERS}
        first_byte_ms: dict[str, list[float]] = {name: [] for name in READERS}
        for _ in range(args.rounds):
            for name in READERS:
                with camera(fps) as port:
                    for levels, now_ns, own_ms in _readings(name, port, args.seconds):
                        _, rendered_us = read_code(levels)
                        latencies_ms[name].append(now_ns / 1e6 - rendered_us / 1e3)
                        first_byte_ms[name] += [] if own_ms is None else [own_ms]
        for name in READERS:
            row = {"fps": fps, "reader": name, **_percentiles(latencies_ms[name], first_byte_ms[name])}
            rows.append(row)
            print(_line(row), flush=True)
    report({"benchmark": "rtsp_latency", "rows": rows}, args.json)
    return 0


def _readings(name: str, port: int, seconds: float) -> list[Reading]:
    """Return the readings of one turn after the warm-up."""
    found: list[Reading] = []
    with closing(READERS[name](f"rtsp://127.0.0.1:{port}/live")) as readings:
        started = None
        for reading in readings:
            started = started or time.monotonic()
            elapsed = time.monotonic() - started
            if elapsed > WARM_UP_SECONDS:
                found.append(reading)
            if elapsed > WARM_UP_SECONDS + seconds:
                break
    return found


def _percentiles(latencies_ms: list[float], first_byte_ms: list[float]) -> dict[str, float | int]:
    figures: dict[str, float | int] = {"frames": len(latencies_ms)}
    for name, values in (("", latencies_ms), ("first_byte_", first_byte_ms)):
        if values:
            p50, p95 = np.percentile(values, (50, 95))
            figures |= {f"{name}p50_ms": round(float(p50), 1), f"{name}p95_ms": round(float(p95), 1)}
    return figures


def _line(row: dict[str, object]) -> str:
    own = (
        f"   first byte {row['first_byte_p50_ms']:6} {row['first_byte_p95_ms']:6}" if "first_byte_p50_ms" in row else ""
    )
    latency = f"p50 {row.get('p50_ms', 'none'):>7}  p95 {row.get('p95_ms', 'none'):>7} ms"
    return f"{row['fps']:3} fps  {row['reader']:<28} {latency}{own}"


if __name__ == "__main__":
    raise SystemExit(main())
