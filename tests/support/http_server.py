"""A web server on loopback with one file, and every way in which a real one lets its reader down."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from streamseg.weights.catalogue import RemoteFile

CONTENTS = np.random.default_rng(0).bytes(700_000)
"""What the file holds: several chunks of a download."""

HALF = len(CONTENTS) // 2

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers a GET as the path's entry in `FileServer.answers` does."""

    server: _Server
    number: int
    """How many requests for this path came before."""

    def do_GET(self) -> None:
        files = self.server.files
        with files.lock:
            self.number = sum(path == self.path for path, _ in files.requests)
            files.requests.append((self.path, self.headers.get("Range", "")))
        with contextlib.suppress(OSError):  # the reader went away, as some are meant to
            files.answers.get(self.path, status(404))(self)

    def send_head(self, code: int, **headers: str | int) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def start(self) -> int:
        """Where the reader wants to begin."""
        return int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])

    def send_part(self, contents: bytes, start: int) -> None:
        """The head and the body of an honest answer."""
        if start:
            place = f"bytes {start}-{len(contents) - 1}/{len(contents)}"
            self.send_head(206, Content_Length=len(contents) - start, Content_Range=place)
        else:
            self.send_head(200, Content_Length=len(contents))
        self.wfile.write(contents[start:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them
    files: FileServer


class FileServer:
    """Serves until the block ends. `answers` maps paths to what happens there."""

    def __init__(self, answers: dict[str, Answer] | None = None) -> None:
        self.answers = answers or {}
        self.requests: list[tuple[str, str]] = []
        """Path and Range header of each."""
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.files = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="file-server")

    def url(self, path: str = "/file") -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def file(self, *paths: str, contents: bytes = CONTENTS) -> RemoteFile:
        """What a catalogue says about a file that lies at these paths."""
        urls = tuple(self.url(path) for path in paths)
        return RemoteFile("nobody", len(contents), hashlib.sha256(contents).hexdigest(), urls)

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def closed_port() -> int:
    """A port of this machine where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


# ---- answers


def honest(contents: bytes = CONTENTS) -> Answer:
    """Gives the file, or the rest of it that is asked for."""

    def answer(handler: Handler) -> None:
        if handler.start() >= len(contents):
            handler.send_head(416, Content_Range=f"bytes */{len(contents)}")
        else:
            handler.send_part(contents, handler.start())

    return answer


def ignores_range(handler: Handler) -> None:
    handler.send_part(CONTENTS, 0)


def refuses_parts(handler: Handler) -> None:
    """Says that there is nothing at the place that is asked for."""
    if handler.start():
        handler.send_head(416, Content_Range=f"bytes */{len(CONTENTS)}")
    else:
        handler.send_part(CONTENTS, 0)


def without_length(contents: bytes = CONTENTS) -> Answer:
    """The connection's end is the file's end."""

    def answer(handler: Handler) -> None:
        handler.send_head(200)
        handler.wfile.write(contents)

    return answer


def claims_length(num_bytes: int) -> Answer:
    """Sends the file under a wrong Content-Length."""

    def answer(handler: Handler) -> None:
        handler.send_head(200, Content_Length=num_bytes)
        handler.wfile.write(CONTENTS)

    return answer


def breaks_off(num_bytes: int, *, times: int = 1_000_000, reset: bool = False) -> Answer:
    """The first times, closes (or resets) the connection after so many bytes of what it owes."""

    def answer(handler: Handler) -> None:
        start = handler.start()
        if handler.number >= times:
            handler.send_part(CONTENTS, start)
            return
        place = f"bytes {start}-{len(CONTENTS) - 1}/{len(CONTENTS)}"
        handler.send_head(206 if start else 200, Content_Length=len(CONTENTS) - start, Content_Range=place)
        handler.wfile.write(CONTENTS[start : start + num_bytes])
        if reset:
            # Closing with a linger time of 0 resets.
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()

    return answer


def status(code: int) -> Answer:
    return lambda handler: handler.send_head(code, Content_Length=0)


def redirect(to: str) -> Answer:
    return lambda handler: handler.send_head(302, Location=to, Content_Length=0)


def claims_range(content_range: str) -> Answer:
    """Answers a wish for a part with this Content-Range, and a wish for the whole honestly."""

    def answer(handler: Handler) -> None:
        if not handler.start():
            return handler.send_part(CONTENTS, 0)
        handler.send_head(206, Content_Range=content_range)
        handler.wfile.write(CONTENTS[handler.start() :])
        return None

    return answer


def silent(handler: Handler) -> None:
    """Takes the request, and says nothing until the server closes."""
    handler.server.files.closing.wait()


def no_http(handler: Handler) -> None:
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


def halts(go_on: threading.Event) -> Answer:
    """Sends half of the file, and the rest once it may."""

    def answer(handler: Handler) -> None:
        handler.send_head(200, Content_Length=len(CONTENTS))
        handler.wfile.write(CONTENTS[:HALF])
        handler.wfile.flush()
        go_on.wait()
        handler.wfile.write(CONTENTS[HALF:])

    return answer
