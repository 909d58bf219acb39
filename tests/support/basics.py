"""What several tests share: frames, films made on the fly, and fakes that are real classes."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamseg.structures.frame import Clock, Frame
from tests.support.paths import REPOSITORY


def data_folder() -> Path | None:
    """The folder of pictures and clips: `STREAMSEG_DATA`, else `../shared/data`; None where there is none."""
    named = os.environ.get("STREAMSEG_DATA")
    folder = Path(named) if named else REPOSITORY / "shared" / "data"
    return folder if folder.is_dir() else None


def make_frame(
    index: int = 0,
    *,
    size: tuple[int, int] = (48, 64),
    source_id: str = "camera",
    value: int | None = None,
    image: npt.NDArray[np.uint8] | None = None,
    captured_ns: int | None = None,
    clock: Clock = "arrival",
    fps: float = 30.0,
) -> Frame:
    """A frame of one grey value (its index modulo 256 unless given), on a time line of its own from 1 s on."""
    if image is None:
        image = np.full((*size, 3), index % 256 if value is None else value, np.uint8)
    elapsed_ns = round(index / fps * 1e9)
    return Frame(
        image=image,
        source_id=source_id,
        index=index,
        pts_seconds=index / fps,
        captured_ns=1_700_000_000_000_000_000 + elapsed_ns if captured_ns is None else captured_ns,
        clock=clock,
        received_ns=1_000_000_000 + elapsed_ns,
    )


def numbered_picture(index: int, *, size: tuple[int, int] = (96, 128)) -> npt.NDArray[np.uint8]:
    """A picture (H, W, 3) that carries its number through lossy coding: its grey is 8 * (index % 28) + 16."""
    picture = np.full((*size, 3), 8 * (index % 28) + 16, np.uint8)
    # A moving texture in the lower half gives the coder something to spend bytes on.
    noise = np.random.default_rng(index).integers(0, 256, (size[0] // 2, size[1], 3), dtype=np.uint8)
    picture[size[0] - noise.shape[0] :] = noise
    return picture


def read_number(picture: npt.NDArray[np.uint8]) -> int:
    """The number modulo 28 that `numbered_picture` wrote."""
    return round((float(picture[: picture.shape[0] // 3].mean()) - 16) / 8)


def write_video(
    path: Path,
    num_frames: int = 20,
    *,
    codec: str = "libx264",
    fps: int = 25,
    size: tuple[int, int] = (96, 128),
    key_every: int = 10,
    container_options: dict[str, str] | None = None,
    pictures: Sequence[npt.NDArray[np.uint8]] | None = None,
) -> Path:
    """A film of numbered pictures, coded by PyAV into the container that the suffix names."""
    import av

    pixel_format = "yuv420p" if codec != "mjpeg" else "yuvj420p"
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.height, stream.width = size if pictures is None else pictures[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.gop_size = key_every
        stream.time_base = Fraction(1, fps)
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "12"}
        for index in range(num_frames if pictures is None else len(pictures)):
            picture = numbered_picture(index, size=size) if pictures is None else pictures[index]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class LoopbackServer:
    """Accepts TCP connections on a port that the system chose, and hands each to a function in a thread.

    The function gets the connected socket; what it leaves open is closed with the server.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.num_connections = 0
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, name="loopback-server")
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.num_connections += 1
            self._connections.append(connection)
            thread = threading.Thread(target=self._run, args=(connection,), name="loopback-connection")
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket) -> None:
        try:
            self._serve(connection)
        except OSError:
            return  # the other side went away, or the server is closing

    def close(self) -> None:
        """Close everything and wait for the threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> LoopbackServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def take(frames: Iterator[Frame], count: int) -> list[Frame]:
    """The first frames of an iterator, which stays open."""
    return [next(frames) for _ in range(count)]
