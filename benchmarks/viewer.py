"""Cost of the page: time in the run's thread, CPU time of the viewer, and age of frames at browsers that keep up.

One 720p source with 30 objects, each of which matches one point prompt or none, is written at a steady rate while
zero, one or four clients watch and acknowledge every frame at once. The clients run in the same process and decode only
the start of the header, so that the server is measured.
"""

from __future__ import annotations

import asyncio
import json
import struct
import threading
import time
from functools import partial
from typing import Any

import aiohttp
import numpy as np
import torch

from benchmarks.harness import Timing, measure, parser, report
from streamseg.config import ViewerConfig
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.publish.jpeg import encode_jpeg
from streamseg.structures.frame import Frame
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.structures.prompt import PointPrompt
from streamseg.viewer import Viewer
from streamseg.viewer.frames import NumberedFrame, complete_message, drawn_jpeg, drawn_png, packed_frame

SIZE = (720, 1280)
NUM_OBJECTS = 30
SETTINGS: dict[str, Any] = {"max_width": 1280, "jpeg_quality": 80}


def make_result(index: int) -> FrameResult:
    """Return the result for an image of noise with 30 round objects of 60 to 240 pixels, five of them prompted."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (45, 80, 3), dtype=np.uint8)
    image = np.ascontiguousarray(coarse.repeat(16, axis=0).repeat(16, axis=1))
    centres = random.uniform((120, 120), (SIZE[1] - 120, SIZE[0] - 120), (NUM_OBJECTS, 2))
    radii = random.uniform(30, 120, NUM_OBJECTS)
    rows, columns = torch.meshgrid(
        torch.arange(SIZE[0] // 8) * 8.0 + 4, torch.arange(SIZE[1] // 8) * 8.0 + 4, indexing="ij"
    )
    logits = torch.stack(
        [radius - torch.hypot(columns - x, rows - y) for (x, y), radius in zip(centres, radii, strict=True)]
    )
    boxes = torch.tensor(
        [[x - radius, y - radius, x + radius, y + radius] for (x, y), radius in zip(centres, radii, strict=True)]
    ).float()
    instances = Instances(boxes, torch.linspace(0.9, 0.5, NUM_OBJECTS), logits.float(), GridTransform(8, 8, 0, 0), SIZE)
    frame = Frame(image, "cam0", index, None, time.time_ns(), "arrival", time.monotonic_ns())
    prompts = [PointPrompt(f"p{row}", ((float(x), float(y)),), (1,)) for row, (x, y) in enumerate(centres[:5])]
    return Pipeline(lambda images, regions=None: [], prompts=prompts).finish(frame, instances)


class Clients:
    """Several WebSocket clients in a thread of their own."""

    def __init__(self, url: str, num_clients: int) -> None:
        self.ages_ms: list[float] = []
        self.num_bytes = 0
        self._url = url.replace("/?", "/ws?")
        self._num_clients = num_clients
        self._ready = threading.Barrier(2)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    def start(self) -> None:
        """Connect all clients and start to receive."""
        self._thread.start()
        self._ready.wait()

    def join(self) -> None:
        """Wait until the server has closed all connections."""
        self._thread.join()

    async def _main(self) -> None:
        async with aiohttp.ClientSession() as session:
            sockets = [await session.ws_connect(self._url, max_msg_size=0) for _ in range(self._num_clients)]
            for socket in sockets:
                await socket.receive()
            await asyncio.to_thread(self._ready.wait)
            await asyncio.gather(*(self._watch(socket) for socket in sockets))

    async def _watch(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                continue
            now_ns = time.time_ns()
            body: bytes = message.data
            start = body.index(b"\0") + 1
            (num_parts,) = struct.unpack_from("<I", body, start)
            (length,) = struct.unpack_from("<I", body, start + 4)
            header = json.loads(body[start + 4 + 4 * num_parts :][:length])
            self.ages_ms.append((now_ns - header["stamp"]["sec"] * 10**9 - header["stamp"]["nanosec"]) / 1e6)
            self.num_bytes += len(body)
            await socket.send_str(json.dumps({"type": "ack", "source": header["source"], "seq": header["seq"]}))


def watched(num_clients: int, *, seconds: float, fps: float) -> dict[str, Any]:
    """Write frames at a given rate while clients watch."""
    results = [make_result(index) for index in range(8)]
    write_seconds: list[float] = []
    with Viewer(["cam0"], ViewerConfig(port=0, **SETTINGS)) as viewer:
        clients = Clients(viewer.url, num_clients)
        clients.start()
        started, cpu_started = time.perf_counter(), time.process_time()
        pace = threading.Event()
        num_frames = 0
        while (elapsed := time.perf_counter() - started) < seconds:
            base = results[num_frames % len(results)]
            frame = Frame(base.frame.image, "cam0", num_frames, None, time.time_ns(), "arrival", time.monotonic_ns())
            message = base.message.__class__(**{**vars(base.message), "captured_ns": frame.captured_ns})
            result = FrameResult(frame, message, base.tracked, base.selections)
            before = time.perf_counter()
            viewer.write(result)
            write_seconds.append(time.perf_counter() - before)
            num_frames += 1
            pace.wait(max(num_frames / fps - elapsed, 0.0))
        cpu_seconds, wall_seconds = time.process_time() - cpu_started, time.perf_counter() - started
        viewer.close()
        clients.join()
    num_received = len(clients.ages_ms)
    values = {
        "clients": num_clients,
        "write": vars(Timing.of(write_seconds)),
        "cpu_percent": round(100 * cpu_seconds / wall_seconds, 1),
        "received_share": round(num_received / (num_frames * max(num_clients, 1)), 3),
        "age": vars(Timing.of([age / 1000 for age in clients.ages_ms])) if num_received else None,
        "frame_bytes": clients.num_bytes // max(num_received, 1),
    }
    print(
        f"{num_clients} clients: write {Timing.of(write_seconds)}, CPU {values['cpu_percent']} % of a core,"
        f" {values['received_share']:.0%} of {num_frames} frames"
        + (f", age {Timing.of([age / 1000 for age in clients.ages_ms])}" if num_received else "")
    )
    return values


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--seconds", type=float, default=5.0, help="duration per number of clients (default %(default)s)"
    )
    arguments.add_argument("--fps", type=float, default=30.0)
    args = arguments.parse_args()
    result = make_result(0)
    frame = NumberedFrame(0, result)
    encode = partial(encode_jpeg, quality=SETTINGS["jpeg_quality"])  # not shared: each run encodes
    encoding: dict[str, Any] = {"max_width": SETTINGS["max_width"], "encode_image": encode}
    timings = measure(
        {
            "every mask": lambda: complete_message(result, max_width=1280),
            "packed frame": lambda: packed_frame(
                frame, epoch="benchmark", max_width=SETTINGS["max_width"], encode_image=encode
            ),
            "drawn JPEG": lambda: drawn_jpeg(frame, **encoding),
            "drawn PNG": lambda: drawn_png(result),
        }
    )
    for name, timing in timings.items():
        print(f"{name:14} {timing}")
    loads = [watched(num_clients, seconds=args.seconds, fps=args.fps) for num_clients in (0, 1, 4)]
    report({"parts": {name: vars(timing) for name, timing in timings.items()}, "watched": loads}, args.json)


if __name__ == "__main__":
    main()
