"""A file whose hash is known, fetched over HTTP: whatever goes wrong on the way, it is that file or none."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from streamseg.errors import WeightsError
from streamseg.weights.catalogue import RemoteFile, edition_at
from streamseg.weights.transfer import Fault, Progress, transfer

if sys.platform != "win32":
    import fcntl

__all__ = ["Progress", "download", "part_path"]

_logger = logging.getLogger(__name__)


def download(
    files: Sequence[RemoteFile],
    target: Path,
    *,
    progress: Progress | None = None,
    timeout_seconds: float = 30.0,
) -> Path:
    """Fetch the first of these files that any of its addresses gives.

    What was received stays beside the target in a `.part` file, and the next call goes on from there. A
    second process that wants the same target waits for the first. Proxies are taken from the environment.

    Args:
        files: editions of one file, any of which is good, in order; each with its addresses in order.
        target: where it goes; folders are made, an older file is replaced once the new one is whole.
        progress: called for every piece received.
        timeout_seconds: the longest silence of a server.

    Returns:
        The target.

    Raises:
        WeightsError: no address gives a file with the right hash, or it cannot be written.
    """
    faults: list[str] = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if edition_at(target, files) is not None:
                return target  # another process was faster
            for file in files:
                part = part_path(file, target)
                for url in file.urls:
                    try:
                        transfer(url, file, part, progress=progress, timeout_seconds=timeout_seconds)
                    except Fault as fault:
                        faults.append(f"{_host(url)}: {fault}")
                        _logger.info("%s: %s", url, fault)
                        continue
                    part.replace(target)
                    for other in files:
                        part_path(other, target).unlink(missing_ok=True)
                    return target
                if part.is_file() and not part.stat().st_size:
                    part.unlink()
    except OSError as error:
        raise WeightsError(f"cannot write {target}: {error.strerror or error}") from error
    kept = any(part_path(file, target).is_file() for file in files)
    raise WeightsError(
        f"cannot download {target.name}: {'; '.join(dict.fromkeys(faults))}. Try again later"
        + (", it goes on where it stopped" if kept else "")
        + f"; or fetch {files[0].urls[0]} by hand (sha256 {files[0].sha256}) and put it at {target}"
    )


def part_path(file: RemoteFile, target: Path) -> Path:
    """Where the beginning of a file is kept until it is whole."""
    return target.with_name(f"{target.name}.{file.sha256[:8]}.part")


def _host(url: str) -> str:
    """The host of an address, without a password that may stand before it; the whole of what is no address."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or url
    except ValueError:
        return url


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One process at a time downloads to a place."""
    if sys.platform == "win32":
        yield  # two at once spoil each other's part, which its hash then shows
        return
    lock = target.with_name(f".{target.name}.lock")
    while True:
        with lock.open("wb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _logger.info("waiting for another process that downloads %s", target)
                fcntl.flock(stream, fcntl.LOCK_EX)
            # Whoever held it before has removed it, and a third process may have made it anew.
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
