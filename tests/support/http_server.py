"""An HTTP server on loopback with one file, and responses with all faults of real servers."""

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
"""Contents of the file: several chunks of a download."""

HALF = len(CONTENTS) // 2

Response = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Handles a GET with the entry of its path in `FileServer.responses`."""

    server: _Server
    number: int
    """Number of earlier requests for this path."""

    def do_GET(self) -> None:
        files = self.server.files
        with files.lock:
            self.number = sum(path == self.path for path, _ in files.requests)
            files.requests.append((self.path, self.headers.get("Range", "")))
        with contextlib.suppress(OSError):  # the client may have disconnected
            files.responses.get(self.path, status(404))(self)

    def send_head(self, code: int, **headers: str | int) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def start(self) -> int:
        """Return the requested start offset."""
        return int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])

    def send_part(self, contents: bytes, start: int) -> None:
        """Send headers and body of a correct response."""
        if start:
            content_range = f"bytes {start}-{len(contents) - 1}/{len(contents)}"
            self.send_head(206, Content_Length=len(contents) - start, Content_Range=content_range)
        else:
            self.send_head(200, Content_Length=len(contents))
        self.wfile.write(contents[start:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base class
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them
    files: FileServer


class FileServer:
    """Serves until the block ends. `responses` maps paths to functions that respond."""

    def __init__(self, responses: dict[str, Response] | None = None) -> None:
        self.responses = responses or {}
        self.requests: list[tuple[str, str]] = []
        """Path and Range header of each request."""
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.files = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="file-server")

    def url(self, path: str = "/file") -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def file(self, *paths: str, contents: bytes = CONTENTS) -> RemoteFile:
        """Return the catalogue entry of a file at these paths."""
        urls = tuple(self.url(path) for path in paths)
        return RemoteFile("publisher", len(contents), hashlib.sha256(contents).hexdigest(), urls)

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def closed_port() -> int:
    """Return a local port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


# ---- responses


def honest(contents: bytes = CONTENTS) -> Response:
    """Send the file, or the requested rest of it."""

    def respond(handler: Handler) -> None:
        if handler.start() >= len(contents):
            handler.send_head(416, Content_Range=f"bytes */{len(contents)}")
        else:
            handler.send_part(contents, handler.start())

    return respond


def ignores_range(handler: Handler) -> None:
    handler.send_part(CONTENTS, 0)


def rejects_ranges(handler: Handler) -> None:
    """Reject all range requests as unsatisfiable."""
    if handler.start():
        handler.send_head(416, Content_Range=f"bytes */{len(CONTENTS)}")
    else:
        handler.send_part(CONTENTS, 0)


def without_length(contents: bytes = CONTENTS) -> Response:
    """Send no Content-Length; the end of the connection marks the end of the file."""

    def respond(handler: Handler) -> None:
        handler.send_head(200)
        handler.wfile.write(contents)

    return respond


def claims_length(num_bytes: int) -> Response:
    """Send the file with a wrong Content-Length."""

    def respond(handler: Handler) -> None:
        handler.send_head(200, Content_Length=num_bytes)
        handler.wfile.write(CONTENTS)

    return respond


def breaks_off(num_bytes: int, *, times: int = 1_000_000, reset: bool = False) -> Response:
    """Close (or reset) the first `times` connections after `num_bytes` bytes."""

    def respond(handler: Handler) -> None:
        start = handler.start()
        if handler.number >= times:
            handler.send_part(CONTENTS, start)
            return
        content_range = f"bytes {start}-{len(CONTENTS) - 1}/{len(CONTENTS)}"
        handler.send_head(206 if start else 200, Content_Length=len(CONTENTS) - start, Content_Range=content_range)
        handler.wfile.write(CONTENTS[start : start + num_bytes])
        if reset:
            # Closing with a linger time of 0 resets the connection.
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()

    return respond


def status(code: int) -> Response:
    return lambda handler: handler.send_head(code, Content_Length=0)


def redirect(to: str) -> Response:
    return lambda handler: handler.send_head(302, Location=to, Content_Length=0)


def claims_range(content_range: str) -> Response:
    """Respond to range requests with this Content-Range, and to others correctly."""

    def respond(handler: Handler) -> None:
        if not handler.start():
            return handler.send_part(CONTENTS, 0)
        handler.send_head(206, Content_Range=content_range)
        handler.wfile.write(CONTENTS[handler.start() :])
        return None

    return respond


def silent(handler: Handler) -> None:
    """Accept the request and send nothing until the server closes."""
    handler.server.files.closing.wait()


def not_http(handler: Handler) -> None:
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


def pauses(resume: threading.Event) -> Response:
    """Send half of the file, and the rest after the event."""

    def respond(handler: Handler) -> None:
        handler.send_head(200, Content_Length=len(CONTENTS))
        handler.wfile.write(CONTENTS[:HALF])
        handler.wfile.flush()
        resume.wait()
        handler.wfile.write(CONTENTS[HALF:])

    return respond
