"""RTSP on a byte stream (RFC 2326): responses, requests and interleaved packets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from streamseg.errors import SourceError

__all__ = ["Interleaved", "MessageReader", "ServerRequest", "ServerResponse", "format_message"]

LONGEST_HEAD: Final = 2**16
LONGEST_BODY: Final = 2**20
LONGEST_GARBAGE: Final = 2**20
"""Bytes that are no message, after which the connection is given up."""
STATUS: Final = re.compile(r"RTSP/\d\.\d (\d{3})(?: (.*))?")
REQUEST: Final = re.compile(r"([A-Z_]{1,20}) \S+ RTSP/\d\.\d")


@dataclass(frozen=True)
class Interleaved:
    """A packet on one of the channels that were agreed in SETUP."""

    channel: int
    data: bytes


@dataclass(frozen=True)
class _Message:
    headers: Mapping[str, tuple[str, ...]]
    """Values by name in lower case; several if a header is repeated."""
    body: bytes

    def header(self, name: str) -> str:
        """Return the first value of a header; "" if absent."""
        return self.headers.get(name.lower(), ("",))[0]


@dataclass(frozen=True)
class ServerResponse(_Message):
    """Response of the server."""

    status: int
    reason: str


@dataclass(frozen=True)
class ServerRequest(_Message):
    """Request of the server, for example to check that the client is present."""

    method: str


class MessageReader:
    """Splits a byte stream into messages and packets. Bytes that are neither are skipped: some servers leave them."""

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._buffer = bytearray()
        self._num_skipped = 0

    def feed(self, data: bytes) -> Iterator[Interleaved | ServerResponse | ServerRequest]:
        """Add received bytes; yield everything that is complete.

        Raises:
            SourceError: the bytes are not RTSP.
        """
        self._buffer += data
        while self._buffer:
            found = self._next()
            if found is None:
                return
            self._num_skipped = 0
            yield found

    def _next(self) -> Interleaved | ServerResponse | ServerRequest | None:
        buffer = self._buffer
        while buffer:
            if buffer[0] == ord("$"):
                size = 4 + int.from_bytes(buffer[2:4], "big")
                if len(buffer) < max(size, 4):
                    return None
                packet = Interleaved(buffer[1], bytes(buffer[4:size]))
                del buffer[:size]
                return packet
            line_end = buffer.find(b"\n", 0, LONGEST_HEAD)
            if line_end < 0 and len(buffer) < LONGEST_HEAD and _may_begin_a_message(buffer):
                return None
            first = bytes(buffer[: max(line_end, 0)]).decode("latin-1").rstrip("\r")
            if STATUS.fullmatch(first) or REQUEST.fullmatch(first):
                return self._message(first)
            self._skip()
        return None

    def _message(self, first: str) -> ServerResponse | ServerRequest | None:
        """Return the message at the start of the buffer; None if it is incomplete."""
        end = re.search(rb"\r?\n\r?\n", self._buffer)
        if end is None:
            if len(self._buffer) > LONGEST_HEAD:
                raise self._fault(f"headers of more than {LONGEST_HEAD} bytes")
            return None
        headers = _headers(self._buffer[: end.start()].decode("latin-1"))
        length = headers.get("content-length", ("0",))[0]
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            raise self._fault(f"content of {length[:20]} bytes")
        stop = end.end() + int(length)
        if len(self._buffer) < stop:
            return None
        body = bytes(self._buffer[end.end() : stop])
        del self._buffer[:stop]
        status = STATUS.fullmatch(first)
        if status is not None:
            return ServerResponse(headers, body, int(status[1]), status[2] or "")
        return ServerRequest(headers, body, first.partition(" ")[0])

    def _skip(self) -> None:
        """Remove bytes up to the next possible start."""
        starts = [at for at in (self._buffer.find(b"$", 1), self._buffer.find(b"RTSP/", 1)) if at > 0]
        num_skipped = min(starts, default=len(self._buffer))
        del self._buffer[:num_skipped]
        self._num_skipped += num_skipped
        if self._num_skipped > LONGEST_GARBAGE:
            raise self._fault("other bytes")

    def _fault(self, found: str) -> SourceError:
        return SourceError(f"{self._name} sends no RTSP, but {found}; check the address and port")


def format_message(first: str, headers: Mapping[str, str | int]) -> bytes:
    """Return the bytes of a request or response without content.

    Args:
        first: the request line or status line.
        headers: headers in order; their values contain no line breaks.
    """
    return "\r\n".join([first, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


def _may_begin_a_message(buffer: bytearray) -> bool:
    return buffer[0] in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _headers(head: str) -> dict[str, tuple[str, ...]]:
    headers: dict[str, tuple[str, ...]] = {}
    for line in head.splitlines()[1:]:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        headers[key] = (*headers.get(key, ()), value.strip())
    return headers
