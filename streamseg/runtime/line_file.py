"""A file of lines that holds only whole lines, also after an error."""

from __future__ import annotations

import os
from pathlib import Path

from streamseg.resources import Resource

__all__ = ["LineFile"]


class LineFile(Resource):
    """Writes each line at once, so that the file can be read while it grows and nothing is lost with the process.

    Args:
        path: file to replace, or a pipe, which is opened once it has a reader.
        appends: keep the lines of an existing file, all of which must be whole.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, appends: bool = False) -> None:
        self.path = path
        self._file = path.open("ab" if appends else "wb", buffering=0)
        self._num_bytes = path.stat().st_size if appends else 0

    def write(self, line: bytes) -> None:
        """Append a line, which ends with a newline.

        Raises:
            OSError: the line cannot be written; a part of it that was written is removed, except from a pipe.
        """
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            if self._file.seekable():
                os.ftruncate(self._file.fileno(), self._num_bytes)
                self._file.seek(self._num_bytes)
            raise
        self._num_bytes += len(line)

    @property
    def is_seekable(self) -> bool:
        """False for a pipe or a terminal."""
        return self._file.seekable()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()
