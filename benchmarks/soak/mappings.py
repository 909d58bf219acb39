"""Resident memory of a process by kind of mapping, from `/proc/PID/smaps`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["resident_mb", "sums"]

ARENA_BYTES = 64 << 20
"""The C library aligns the arenas of threads, other than the main one, to this size."""
HEADER = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<rights>\S{4}) [0-9a-f]+ \S+ (?P<inode>\d+)\s*(?P<path>.*)$"
)


def resident_mb(pid: int) -> dict[str, float]:
    """Return megabytes (10**6 bytes) by kind of mapping; empty if the process has ended or the system is not Linux.

    Kinds: `main heap`, `thread arenas` (the C library's heaps of other threads), `stacks`, `other anonymous` (large
    single blocks, memory of libraries), `files` (libraries, mapped files), `shared` (shared memory).
    """
    try:
        with Path(f"/proc/{pid}/smaps").open(encoding="utf-8", errors="replace") as lines:
            return sums(lines)
    except OSError:
        return {}


def sums(lines: Iterable[str]) -> dict[str, float]:
    """Return megabytes by kind from the lines of such a file."""
    found: dict[str, float] = {}
    kind, guard_end = "files", -1
    for line in lines:
        header = HEADER.match(line)
        if header is not None:
            start, end = int(header["start"], 16), int(header["end"], 16)
            kind = _kind(start, header["path"], int(header["inode"]), follows_guard=start == guard_end)
            is_guard = header["rights"].startswith("---") and end - start <= 1 << 16
            guard_end = end if is_guard else -1
        elif line.startswith("Rss:"):
            found[kind] = found.get(kind, 0.0) + int(line.split()[1]) * 1024 / 1e6
    return {kind: round(megabytes, 2) for kind, megabytes in sorted(found.items())}


def _kind(start: int, path: str, inode: int, *, follows_guard: bool) -> str:
    if path == "[heap]":
        return "main heap"
    if path == "[stack]" or (not path and follows_guard):
        return "stacks"
    if path.startswith(("/dev/shm", "/memfd:", "/dev/zero", "/SYSV")):
        return "shared"
    if inode or path:
        return "files"
    return "thread arenas" if start % ARENA_BYTES == 0 else "other anonymous"
