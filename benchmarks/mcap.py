"""Cost of an MCAP file with ROS 2 messages: CPU milliseconds and bytes per frame.

scripts/bench mcap [--num-objects 30] [--frames 100] [--fresh-memory] [--json FILE]

The objects are the blobs of `benchmarks.wire` at 1280x720. CPU time of the sink's thread is measured, so other load on
the machine counts little. Per topic: building and serialising the message, and the same with rosbags' serialisation.
`write` builds, serialises, compresses and writes everything but the image, `jpeg` encodes the image. Freed memory is
kept as in `streamseg run`; --fresh-memory: as a process does by default.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.harness import Timing, parser, report
from benchmarks.wire import blobs_message
from streamseg.cli.free_memory import keep_large_blocks
from streamseg.publish.jpeg import encode_jpeg
from streamseg.ros.cdr import CdrTypes
from streamseg.ros.mcap_writer import McapWriter
from streamseg.ros.topics import frame_topics

SIZE = (720, 1280)


def cpu(function: Callable[[int], object], *, num_runs: int, num_warmups: int = 5) -> Timing:
    """Time a function of the frame's index on this thread's CPU clock."""
    seconds = []
    for index in range(num_warmups + num_runs):
        started = time.thread_time()
        function(index)
        if index >= num_warmups:
            seconds.append(time.thread_time() - started)
    return Timing.of(seconds)


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("--num-objects", type=int, default=30)
    flags.add_argument("--frames", type=int, default=100)
    flags.add_argument("--fresh-memory", action="store_true")
    arguments = flags.parse_args()
    if not arguments.fresh_memory:
        keep_large_blocks()
    cv2.setNumThreads(1)
    message = blobs_message(arguments.num_objects, SIZE, 0.0)
    message = replace(
        message, objects=tuple(replace(one, track_id=number + 1) for number, one in enumerate(message.objects))
    )
    noise = np.random.default_rng(0).integers(0, 256, (45, 80, 3), dtype=np.uint8)
    image = cv2.resize(noise, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    types = CdrTypes()
    timings, rosbags = {}, {}
    for topic in frame_topics():
        for found, serialize in ((timings, types.serialize), (rosbags, types.serialize_by_fields)):
            found[topic.name] = cpu(
                lambda _, topic=topic, serialize=serialize: serialize(topic.type_name, topic.build(message)),  # type: ignore[misc]
                num_runs=arguments.frames,
            )
    with tempfile.TemporaryDirectory() as folder:
        writer = McapWriter(Path(folder) / "cost.mcap")
        period_ns = 33_333_333
        timings["write"] = cpu(
            lambda index: writer.write(replace(message, captured_ns=message.captured_ns + index * period_ns)),
            num_runs=arguments.frames,
        )
        bytes_per_frame = round(writer.num_bytes / (arguments.frames + 5))
        writer.close()
    timings["jpeg"] = cpu(lambda _: encode_jpeg(image, 80), num_runs=arguments.frames)
    for name, timing in timings.items():
        print(f"{name:12} {timing}" + (f"; by rosbags p50 {rosbags[name].p50:.3f} ms" if name in rosbags else ""))
    print(f"{bytes_per_frame} bytes per frame without the image")
    report(
        {
            "num_objects": arguments.num_objects,
            "fresh_memory": arguments.fresh_memory,
            "cpu_ms": timings,
            "rosbags_cpu_ms": rosbags,
            "bytes_per_frame": bytes_per_frame,
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
