"""RTSP cameras in a process of their own: each address serves one H.264 file of the rendered scene, endlessly.

python -m benchmarks.many_sources.cameras --count 4     prints the ports, and serves until its input ends
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from subprocess import PIPE, Popen

from streamseg.synthetic import SceneRenderer
from tests.support.loopback import LoopbackServer
from tests.support.rtsp_camera import START_CODE, RtspCamera, Step

NUM_FRAMES = 150
"""Frames of each file before it begins again with a keyframe."""
REPORT_FRAMES = 150
"""Frames between two sender reports."""


class Looped(Sequence[list[bytes]]):
    """The frames of a file, endlessly repeated.

    Args:
        frames: NAL units of each frame; the first one is a keyframe.
    """

    def __init__(self, frames: list[list[bytes]]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> list[bytes]:  # type: ignore[override]  # no slices
        return self._frames[index % len(self._frames)]


class Script(Sequence[Step]):
    """The steps of a connection without end, at a steady pace.

    Args:
        fps: frames per second.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int) -> Step:  # type: ignore[override]  # no slices
        return Step(wait_seconds=1 / self._fps, frame=index)

    def __iter__(self) -> Iterator[Step]:
        started = time.monotonic()
        for index in count():
            due = started + index / self._fps
            report = index / self._fps if index % REPORT_FRAMES == 0 else None
            yield Step(max(due - time.monotonic(), 1e-6), index, report)


def encoded_scene(seed: int, size: tuple[int, int], key_every: int) -> list[list[bytes]]:
    """Return the NAL units of each frame of a rendered scene, of `size` (H, W), without B-frames as cameras send it."""
    import av

    height, width = size
    scene = SceneRenderer(width, height, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.h264"
        with av.open(str(path), "w", format="h264") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"preset": "veryfast", "bf": "0", "g": str(key_every), "sc_threshold": "0", "crf": "25"}
            for index in range(NUM_FRAMES):
                frame = av.VideoFrame.from_ndarray(scene.render(index), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with av.open(str(path)) as container:
            packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    return [[unit for unit in START_CODE.split(packet) if unit] for packet in packets]


def serve(num_cameras: int, size: tuple[int, int], fps: float, key_every: int) -> None:
    """Serve until the standard input ends."""
    never, wait = threading.Event(), threading.Event()
    with ExitStack() as stack:
        for seed in range(num_cameras):
            camera = RtspCamera([Script(fps)], Looped(encoded_scene(seed, size, key_every)), never.wait, wait.wait, fps)
            server = stack.enter_context(LoopbackServer(camera.serve))
            print(server.port, flush=True)
        sys.stdin.read()
        never.set()


@contextmanager
def cameras(num_cameras: int, size: tuple[int, int], fps: float, key_every: int) -> Iterator[list[str]]:
    """Run cameras in another process; yield their addresses."""
    height, width = size
    command = [sys.executable, "-m", "benchmarks.many_sources.cameras", "--count", str(num_cameras), "--fps", str(fps)]
    command += ["--size", str(height), str(width), "--key-every", str(key_every)]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ports = [process.stdout.readline().strip() for _ in range(num_cameras)]
            if not all(ports):
                raise RuntimeError("the cameras did not start; their error is above")
            yield [f"rtsp://127.0.0.1:{port}/live" for port in ports]
        finally:
            process.stdin.close()
            process.terminate()


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--count", type=int, default=4)
    arguments.add_argument("--size", type=int, nargs=2, default=(360, 640), help="height and width")
    arguments.add_argument("--fps", type=float, default=30.0)
    arguments.add_argument("--key-every", type=int, default=60)
    args = arguments.parse_args()
    serve(args.count, tuple(args.size), args.fps, args.key_every)
    return 0


if __name__ == "__main__":
    sys.exit(main())
