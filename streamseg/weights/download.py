"""Download files with a known hash over HTTP: a target is either that complete file or is not written.

pooch (1.9) is not used, because it cannot resume: it requests the whole file into a temporary file, which it deletes
on failure. It has no lock between processes either.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit

import streamseg
from streamseg.errors import WeightsError, reason_of
from streamseg.weights.catalogue import RemoteFile, edition_at

if sys.platform != "win32":
    import fcntl

__all__ = ["Progress", "TransferError", "checked_url", "download", "part_path", "transfer"]

_logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with the number of bytes received so far and the size of the whole file."""

ATTEMPTS = 5
"""Maximum number of connections to one URL; a retry requires that the previous connection made progress."""

CHUNK_BYTES = 256 * 1024

MAX_REDIRECTS = 10
REDIRECT_CODES = (301, 302, 303, 307, 308)

CONNECTION_ERRORS = (OSError, HTTPException, ValueError, OverflowError)
"""Exceptions of urllib for failed connections and invalid responses."""


class TransferError(Exception):
    """A URL did not provide the file; another one may."""


def download(
    files: Sequence[RemoteFile],
    target: Path,
    *,
    progress: Progress | None = None,
    timeout_seconds: float = 30.0,
) -> Path:
    """Download the first of these files that any of its URLs provides.

    An incomplete download remains next to the target as a `.part` file, and the next call resumes it. If another
    process is downloading the same target, wait for it. Proxies are taken from the environment.

    Args:
        files: equally valid editions of one file, in order of preference, each with its URLs in order of preference.
        target: destination. Folders are created. An existing file is replaced once the download is complete.
        progress: called for every chunk received.
        timeout_seconds: maximum time without data from a server.

    Returns:
        The target.

    Raises:
        WeightsError: no URL provides a file with the right hash, or the file cannot be written.
    """
    failures: list[str] = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(target):
            if edition_at(target, files) is not None:
                return target  # another process has completed it
            for file in files:
                part = part_path(file, target)
                for url in file.urls:
                    try:
                        transfer(url, file, part, progress=progress, timeout_seconds=timeout_seconds)
                    except TransferError as error:
                        failures.append(f"{_host(url)}: {error}")
                        _logger.info("%s: %s", url, error)
                        continue
                    part.replace(target)
                    for other in files:
                        part_path(other, target).unlink(missing_ok=True)
                    return target
                if part.is_file() and not part.stat().st_size:
                    part.unlink()
    except OSError as error:
        raise WeightsError(f"cannot write {target}: {reason_of(error)}") from error
    can_resume = any(part_path(file, target).is_file() for file in files)
    raise WeightsError(
        f"cannot download {target.name}: {'; '.join(dict.fromkeys(failures))}. Try again later"
        + (" to resume the download" if can_resume else "")
        + f"; or download {files[0].urls[0]} yourself (sha256 {files[0].sha256}) and save it as {target}"
    )


def part_path(file: RemoteFile, target: Path) -> Path:
    """Return the path of the incomplete download of a file."""
    return target.with_name(f"{target.name}.{file.sha256[:8]}.part")


def transfer(
    url: str, file: RemoteFile, part: Path, *, progress: Progress | None = None, timeout_seconds: float = 30.0
) -> None:
    """Complete a partial file from one URL.

    The part is kept when a connection breaks, and deleted when its contents turn out to be wrong.

    Args:
        url: http or https.
        file: size and hash of the complete file.
        part: may not exist yet.
        progress: called for every chunk received.
        timeout_seconds: maximum time without data from the server.

    Raises:
        TransferError: this URL does not provide the file.
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
            reason = f"wrong contents, sha256 {sha256} instead of {file.sha256}"
            if before == 0:
                break
            # Otherwise the error may be in the beginning, which an earlier call downloaded: start over.
    raise TransferError(reason)


def _attempt(
    url: str, file: RemoteFile, part: Path, offset: int, progress: Progress | None, timeout_seconds: float
) -> str:
    """Append to the part over one connection. Return why it ended early, or an empty string.

    Raises:
        TransferError: the server rejects the request, or has another file.
    """
    try:
        response = _open(url, offset, timeout_seconds)
    except HTTPError as error:
        with error:
            if error.code == 416 and offset:
                part.unlink()
                return "has no data after the end of the part"
            raise TransferError(f"{error.code} {' '.join(str(error.reason).split())}") from error
    except CONNECTION_ERRORS as error:
        raise TransferError(_reason(error, timeout_seconds)) from error
    with response:
        if response.status == 206 and not _resumes_at(offset, file, response.headers.get("Content-Range", "")):
            part.unlink(missing_ok=True)
            return "sent another range than requested"
        if response.status not in (200, 206):
            raise TransferError(f"{response.status} {response.reason}")
        if response.status == 200:
            offset = 0  # the server ignores the range and sends the whole file
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and offset + int(length) != file.num_bytes:
            raise TransferError(f"has a file of {offset + int(length)} bytes, not {file.num_bytes}")
        _check_free_space(part, file.num_bytes - offset)
        try:
            with part.open("ab" if offset else "wb") as stream:
                return _copy(response, stream, offset, file, progress, timeout_seconds)
        except OSError as error:
            raise WeightsError(f"cannot write {part}: {reason_of(error)}") from error


def _open(url: str, offset: int, timeout_seconds: float) -> HTTPResponse:
    """Send the request, follow redirects and return the response."""
    headers = {"User-Agent": f"streamseg/{streamseg.__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    # Not the default opener: it also opens file: and ftp:, and reads the whole body of a redirect of any length.
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    url = checked_url(url)
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response: HTTPResponse = opener.open(request.Request(url, headers=headers), timeout=timeout_seconds)
            return response
        except HTTPError as error:
            location = error.headers.get("Location")
            if error.code not in REDIRECT_CODES or not location:
                raise
            with error:
                url = checked_url(urljoin(url, location.replace(" ", "%20")), redirected_from=url)
    raise ValueError(f"redirects more than {MAX_REDIRECTS} times")


def checked_url(url: str, *, redirected_from: str = "") -> str:
    """Return the URL unchanged if it may be opened.

    Raises:
        ValueError: the scheme is not http or https, or an https URL redirects to one that is not.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http or https URL")
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
    """Append the response to the stream. Any OSError is an error of the stream."""
    received = offset
    if progress is not None:
        progress(received, file.num_bytes)
    while True:
        try:
            chunk = response.read1(CHUNK_BYTES)
        except CONNECTION_ERRORS as error:
            return f"broke off at {received} of {file.num_bytes} bytes: {_reason(error, timeout_seconds)}"
        if not chunk:
            return "" if received == file.num_bytes else f"broke off at {received} of {file.num_bytes} bytes"
        received += len(chunk)
        if received > file.num_bytes:
            stream.truncate(0)
            raise TransferError(f"sends more than the {file.num_bytes} bytes of the file")
        stream.write(chunk)
        if progress is not None:
            progress(received, file.num_bytes)


def _resumes_at(offset: int, file: RemoteFile, content_range: str) -> bool:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range.strip())
    return match is not None and int(match[1]) == offset > 0 and match[2] in ("*", str(file.num_bytes))


def _check_free_space(part: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < num_bytes:
        raise WeightsError(
            f"{part.parent} has {free / 1e6:.0f} MB free, but the download needs {num_bytes / 1e6:.0f} MB;"
            " free some space, or choose another folder with $STREAMSEG_CACHE"
        )


def _reason(error: Exception, timeout_seconds: float) -> str:
    """Describe an exception on one line."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no data for {timeout_seconds:g} s"
    if isinstance(cause, socket.gaierror):
        return "host not found; check the network connection"
    text = (cause.strerror if isinstance(cause, OSError) else None) or str(cause) or type(cause).__name__
    return " ".join(text.split())


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _host(url: str) -> str:
    """Return the host of a URL without credentials, or the whole string if it is not a URL."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or url
    except ValueError:
        return url


@contextmanager
def _exclusive(target: Path) -> Iterator[None]:
    """Lock a download target against other processes."""
    if sys.platform == "win32":
        yield  # no lock: concurrent downloads corrupt the part, which its hash reveals
        return
    lock = target.with_name(f".{target.name}.lock")
    while True:
        with lock.open("wb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _logger.info("waiting for another process that downloads %s", target)
                fcntl.flock(stream, fcntl.LOCK_EX)
            # The previous holder has deleted the file, and a third process may have created it again.
            if not _is_open_as(lock, stream.fileno()):
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_open_as(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
