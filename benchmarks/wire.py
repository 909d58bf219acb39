"""Measure 60 masks on the wire: milliseconds and bytes per encoding, and the duration of publishing a message.

python -m benchmarks.wire [--num-objects 60] [--noise 0.01] [--json FILE]

The masks are blobs with a rough outline in boxes of 14 to 53 % of the frame's height. `pycocotools` encodes full masks
from row-major arrays, the layout of frames, and also crops. `publish` is the call on a publisher with a subscriber that
requests the image; `arrival` is the time from that call to the decoded message, including JPEG and loopback.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from pycocotools import mask as pycocotools

from benchmarks.harness import Timing, measure, parser, report
from streamseg.publish import Publisher, Subscriber
from streamseg.structures.mask import CropMask
from streamseg.structures.message import Message, MessageObject
from streamseg.wire import MASK_ENCODINGS, decode, encode, read_header

SIZES = ((720, 1280), (480, 640))
COMPRESSIONS = ("none", "zlib")


def blob(rng: np.random.Generator, size: tuple[int, int], noise: float) -> CropMask:
    """Return an irregular ellipse at a random position in a frame of (H, W), its outline blurred by `noise` radii."""
    height, width = int(rng.uniform(0.14, 0.53) * size[0]), int(rng.uniform(0.08, 0.30) * size[1])
    y, x = int(rng.integers(0, size[0] - height + 1)), int(rng.integers(0, size[1] - width + 1))
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = np.arctan2(rows, columns)
    outline = 0.8 + sum(0.08 / k * np.sin(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 7))
    return CropMask(np.hypot(rows, columns) + rng.normal(0, noise, rows.shape) < outline, x, y)


def blobs_message(num_objects: int, size: tuple[int, int], noise: float) -> Message:
    """Return a message of blobs as composed by the pipeline."""
    rng = np.random.default_rng(0)
    objects = []
    for track_id in range(num_objects):
        mask = blob(rng, size, noise)
        height, width = mask.crop.shape
        box = (mask.x + rng.random(), mask.y + rng.random(), float(mask.x + width), float(mask.y + height))
        objects.append(MessageObject(track_id, ("everything",), box, rng.random(), mask, mask.area))
    return Message(
        source_id="cam0",
        frame_index=0,
        captured_ns=time.time_ns(),
        clock="arrival",
        age_ms=20.0,
        image_size=size,
        mask_size=size,
        mask_to_image=(1.0, 1.0, 0.0, 0.0),
        objects=tuple(objects),
        epoch="0123456789abcdef",
        seq=0,
    )


def round_trip(message: Message, **options: Any) -> Message:
    """Encode and decode a message: the combined cost of publisher and subscriber."""
    return decode(encode(message, **options))


def coco_of(masks: list[np.ndarray]) -> list[dict[str, Any]]:
    """Encode row-major masks as COCO strings, the usual method."""
    return [pycocotools.encode(np.asfortranarray(mask)) for mask in masks]


def encodings(message: Message, num_runs: int) -> list[dict[str, Any]]:
    """Time each mask encoding and pycocotools, in turns."""
    candidates: dict[str, Callable[[], object]] = {}
    rows: list[dict[str, Any]] = []
    for mask_encoding in MASK_ENCODINGS:
        for compression in COMPRESSIONS:
            name = mask_encoding if compression == "none" else f"{mask_encoding} {compression}"
            options: dict[str, Any] = {"mask_encoding": mask_encoding, "compression": compression}
            parts = encode(message, **options)
            candidates[f"{name} encode"] = partial(encode, message, **options)
            candidates[f"{name} decode"] = partial(decode, parts)
            candidates[f"{name} both"] = partial(round_trip, message, **options)
            rows.append({"name": name, "bytes": sum(map(len, parts)), "header_bytes": len(parts[1])})
    candidates["header read"] = partial(read_header, encode(message))
    full = [found.mask.full(message.mask_size).view(np.uint8) for found in message.objects]
    crops = [found.mask.crop.view(np.uint8) for found in message.objects]
    candidates["pycocotools, full masks encode"] = partial(coco_of, full)
    candidates["pycocotools, crops encode"] = partial(coco_of, crops)
    timings = measure(candidates, num_runs=num_runs)
    for row in rows:
        for action in ("encode", "decode", "both"):
            row[f"{action}_ms"] = timings[f"{row['name']} {action}"]
    for name, masks in (("pycocotools, full masks", full), ("pycocotools, crops", crops)):
        num_bytes = sum(len(rle["counts"]) for rle in coco_of(masks))
        rows.append({"name": name, "bytes": num_bytes, "encode_ms": timings[f"{name} encode"]})
    rows.append({"name": "header", "bytes": rows[0]["header_bytes"], "decode_ms": timings["header read"]})
    return rows


def publishing(message: Message, num_runs: int) -> dict[str, Timing]:
    """Time `publish` and the arrival of the decoded message, one message at a time."""
    image = np.random.default_rng(0).integers(0, 256, (*message.image_size, 3), dtype=np.uint8)
    calls, arrivals = [], []
    with Publisher("tcp://127.0.0.1:0") as publisher, Subscriber(publisher.endpoint, images=True) as subscriber:
        if not subscriber.wait_connected(10):
            raise RuntimeError("the subscriber did not reach the publisher")
        for _ in range(num_runs):
            started = time.perf_counter()
            publisher.publish(message, image)
            calls.append(time.perf_counter() - started)
            if subscriber.receive(10) is None:
                raise RuntimeError("a message was lost")
            arrivals.append(time.perf_counter() - started)
    return {"publish": Timing.of(calls), "arrival": Timing.of(arrivals)}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--num-objects", type=int, default=60)
    arguments.add_argument("--noise", type=float, default=0.01, help="roughness of the outlines, share of the radius")
    arguments.add_argument("--num-runs", type=int, default=50)
    args = arguments.parse_args()
    results = []
    for size in SIZES:
        message = blobs_message(args.num_objects, size, args.noise)
        rows = encodings(message, args.num_runs)
        calls = publishing(message, args.num_runs)
        runs_bytes = rows[0]["bytes"]
        print(f"{args.num_objects} masks at {size[1]}x{size[0]}, ms as p50 (p95)")
        for row in rows:
            times = [
                f"{action} {row[f'{action}_ms'].p50:7.2f} ({row[f'{action}_ms'].p95:7.2f})"
                for action in ("encode", "decode", "both")
                if f"{action}_ms" in row
            ]
            print(f"  {row['name']:<24} {row['bytes']:8d} bytes  {'  '.join(times)}")
        for name, timing in calls.items():
            print(f"  {name:<24} {timing}")
        usual = next(row for row in rows if row["name"] == "pycocotools, full masks")["encode_ms"].p50
        ratio = usual / rows[0]["both_ms"].p50
        print(f"  pycocotools on full masks takes {ratio:.1f} times as long as encoding and decoding {rows[0]['name']}")
        results.append(
            {
                "size": list(size),
                "encodings": rows,
                "calls_ms": calls,
                "message_bytes": runs_bytes,
                "pycocotools_ratio": round(ratio, 1),
            }
        )
    report({"num_objects": args.num_objects, "noise": args.noise, "sizes": results}, args.json)


if __name__ == "__main__":
    main()
