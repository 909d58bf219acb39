"""One address, and the part of a file that it has given so far."""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit

import streamseg
from streamseg.errors import WeightsError
from streamseg.weights.catalogue import RemoteFile

__all__ = ["Fault", "Progress", "checked_address", "transfer"]

Progress = Callable[[int, int], None]
"""Called with the bytes that are here, and the bytes of the whole file."""

ATTEMPTS = 5
"""Connections to one address, as long as each brings the file on."""

CHUNK_BYTES = 256 * 1024

MOST_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)

BROKEN = (OSError, HTTPException, ValueError, OverflowError)
"""What urllib raises for connections that fail and for answers that make no sense."""


class Fault(Exception):
    """Why an address gave nothing; another one may."""


def transfer(
    url: str, file: RemoteFile, part: Path, *, progress: Progress | None = None, timeout_seconds: float = 30.0
) -> None:
    """Bring a part up to the whole file, from wherever it stands.

    The part outlives a broken connection, and goes when its bytes turn out not to be the file's.

    Args:
        url: http or https.
        file: what the part must become.
        part: need not exist.
        progress: called for every piece received.
        timeout_seconds: the longest silence of the server.

    Raises:
        Fault: this address does not give the file.
        WeightsError: the part cannot be written.
    """
    reason = ""
    for _ in range(ATTEMPTS):
        before = _size(part)
        if before < file.num_bytes:
            reason = _attempt(url, file, part, before, progress, timeout_seconds)
        after = _size(part)
        if after < file.num_bytes and after == before:
            break
        if after >= file.num_bytes:
            sha256 = _sha256(part)
            if sha256 == file.sha256:
                return
            part.unlink()
            reason = f"wrong contents, sha256 {sha256} and not {file.sha256}"
            if before == 0:
                break
            # Else the beginning, which is of an earlier day, may be what was wrong.
    raise Fault(reason)


def _attempt(
    url: str, file: RemoteFile, part: Path, offset: int, progress: Progress | None, timeout_seconds: float
) -> str:
    """One connection, which adds to the part; says why it ended early, or nothing.

    Raises:
        Fault: the server refuses, or has another file.
    """
    try:
        response = _open(url, offset, timeout_seconds)
    except HTTPError as error:
        with error:
            if error.code == 416 and offset:
                part.unlink()
                return "has nothing at the place where the part ends"
            raise Fault(f"{error.code} {' '.join(str(error.reason).split())}") from error
    except BROKEN as error:
        raise Fault(_reason(error, timeout_seconds)) from error
    with response:
        if response.status == 206 and not _goes_on_at(offset, file, response.headers.get("Content-Range", "")):
            part.unlink(missing_ok=True)
            return "sent another part than was asked for"
        if response.status not in (200, 206):
            raise Fault(f"{response.status} {response.reason}")
        if response.status == 200:
            offset = 0  # it sends the whole, whatever was asked for
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and offset + int(length) != file.num_bytes:
            raise Fault(f"has a file of {offset + int(length)} bytes, not {file.num_bytes}")
        _check_room(part, file.num_bytes - offset)
        try:
            with part.open("ab" if offset else "wb") as stream:
                return _copy(response, stream, offset, file, progress, timeout_seconds)
        except OSError as error:
            raise WeightsError(f"cannot write {part}: {error.strerror or error}") from error


def _open(url: str, offset: int, timeout_seconds: float) -> HTTPResponse:
    """The answer to a request, after all redirects."""
    headers = {"User-Agent": f"streamseg/{streamseg.__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    # Not the default opener: it also opens file: and ftp:, and reads the whole body of a redirect, however long.
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    url = checked_address(url)
    for _ in range(MOST_REDIRECTS + 1):
        try:
            response: HTTPResponse = opener.open(request.Request(url, headers=headers), timeout=timeout_seconds)
            return response
        except HTTPError as error:
            location = error.headers.get("Location")
            if error.code not in REDIRECTS or not location:
                raise
            with error:
                url = checked_address(urljoin(url, location.replace(" ", "%20")), redirected_from=url)
    raise ValueError(f"redirects more than {MOST_REDIRECTS} times")


def checked_address(url: str, *, redirected_from: str = "") -> str:
    """An address that may be opened, as it is.

    Raises:
        ValueError: it is no http or https address, or an encrypted one redirects to it and it is not encrypted.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no http or https address")
    if urlsplit(redirected_from).scheme == "https" and parts.scheme != "https":
        raise ValueError(f"redirects to {url!r}, which is not https")
    return url


def _copy(
    response: HTTPResponse,
    stream: IO[bytes],
    offset: int,
    file: RemoteFile,
    progress: Progress | None,
    timeout_seconds: float,
) -> str:
    """Append what the server sends; OSError comes from the stream alone."""
    received = offset
    if progress is not None:
        progress(received, file.num_bytes)
    while True:
        try:
            chunk = response.read1(CHUNK_BYTES)
        except BROKEN as error:
            return f"broke off at {received} of {file.num_bytes} bytes: {_reason(error, timeout_seconds)}"
        if not chunk:
            return "" if received == file.num_bytes else f"broke off at {received} of {file.num_bytes} bytes"
        received += len(chunk)
        if received > file.num_bytes:
            stream.truncate(0)
            raise Fault(f"sends more than the {file.num_bytes} bytes of the file")
        stream.write(chunk)
        if progress is not None:
            progress(received, file.num_bytes)


def _goes_on_at(offset: int, file: RemoteFile, content_range: str) -> bool:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range.strip())
    return match is not None and int(match[1]) == offset > 0 and match[2] in ("*", str(file.num_bytes))


def _check_room(part: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < num_bytes:
        raise WeightsError(
            f"{part.parent} has {free / 1e6:.0f} MB free, and {num_bytes / 1e6:.0f} MB are to be downloaded;"
            " make room, or name another folder with $STREAMSEG_CACHE"
        )


def _reason(error: Exception, timeout_seconds: float) -> str:
    """An exception on one line, in words of this program where it has some."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"silent for {timeout_seconds:g} s"
    if isinstance(cause, socket.gaierror):
        return "host not found; is there a network?"
    text = (cause.strerror if isinstance(cause, OSError) else None) or str(cause) or type(cause).__name__
    return " ".join(text.split())


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
