"""A file that gets its name when it is complete; until then it has a unique partial name beside it."""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path

__all__ = ["PartialFile"]


class PartialFile(io.FileIO):
    """Unbuffered file for a muxer: it writes everything or raises, and can be frozen after an error.

    The partial name keeps the suffix, so that players open what a killed process has left:
    `out.mp4` is `out.partial-4f3a9c21.mp4` until `commit`.

    Args:
        path: final path, replaced by `commit`; the folder must exist.

    Raises:
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.partial_path = path.with_name(f"{path.stem}.partial-{secrets.token_hex(4)}{path.suffix}")
        """Path until `commit`."""
        self._is_frozen = False
        self._num_bytes = 0
        self._num_header_bytes: int | None = None
        super().__init__(self.partial_path, "x+")

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write all bytes; once frozen, ignore them."""
        rest = memoryview(data)
        while rest and not self._is_frozen:
            rest = rest[super().write(rest) :]
        return len(data)

    def mark(self) -> None:
        """Remember the bytes so far as complete. The first call is about the header."""
        self._num_bytes = self.tell()
        if self._num_header_bytes is None:
            self._num_header_bytes = self._num_bytes

    def freeze(self) -> None:
        """Cut the file to what was complete, and ignore all further writes."""
        self._is_frozen = True
        self.truncate(self._num_bytes)

    @property
    def has_grown(self) -> bool:
        """Whether anything after the header was marked as complete."""
        return self._num_header_bytes is not None and self._num_bytes > self._num_header_bytes

    def commit(self) -> None:
        """Close the file and move it to its path."""
        self.close()
        os.replace(self.partial_path, self._path)

    def discard(self) -> None:
        """Close and delete the file. Idempotent."""
        self.close()
        self.partial_path.unlink(missing_ok=True)
