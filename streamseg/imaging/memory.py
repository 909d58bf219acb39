"""Memory that the system can still give to this process."""

from __future__ import annotations

from pathlib import Path

__all__ = ["available_bytes"]

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def available_bytes(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int | None:
    """Return the available memory in bytes, without swap, within a container's limit; None if unknown.

    Args:
        meminfo: Linux's table of the memory; "MemAvailable" includes what caches can release.
        cgroup: folder of the container's control group, version 2.
    """
    available = None
    for line in _lines(meminfo):
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            available = int(value.split()[0]) * 1024
    limit, current = _lines(cgroup / "memory.max"), _lines(cgroup / "memory.current")
    if limit and current and limit[0].isdecimal() and current[0].isdecimal():
        within = max(int(limit[0]) - int(current[0]), 0)
        available = within if available is None else min(available, within)
    return available


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
