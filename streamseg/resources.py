"""Things that must be released: the base class of objects that hold them, and the claim of an output path."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from streamseg.errors import DataError, reason_of

__all__ = ["OutputLock", "Resource", "claim_output"]


class Resource(ABC):
    """A context manager that returns itself and closes itself however the block ends."""

    @abstractmethod
    def close(self) -> None:
        """Release all resources. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OutputLock(Resource):
    """Exclusive claim of an output file: a second run that would write the same file is refused.

    The claim is a locked hidden file beside the output. The system releases the lock of a process that is killed.
    Pipes and devices are not claimed, because several processes may write to them.

    Args:
        path: the output file; its folder must exist.

    Raises:
        DataError: another process has claimed the file.
        OSError: the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f".{path.name}.lock")
        self._file: int | None = None
        if not path.exists() or path.is_file():
            self._file = self._locked_file(path)

    def close(self) -> None:
        """Release the claim. Idempotent."""
        if self._file is not None:
            # Removed before it is unlocked: nobody else can hold a lock on this name then.
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def _locked_file(self, path: Path) -> int:
        import fcntl  # imported here, because a subscriber may run on Windows

        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(file)
                raise DataError(f"{path} is being written by another run; choose another path") from error
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
                    os.close(file)
                    raise
                return file  # a file system without locks cannot tell
            if _is_at(file, self._path):
                return file
            os.close(file)  # its former owner removed it after it was opened


def _is_at(file: int, path: Path) -> bool:
    """Return whether an open file still has this path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def claim_output(path: Path, contents: str) -> OutputLock:
    """Create the folder of an output file and claim the file, which itself is not created.

    Args:
        path: the file, existing or not, or a pipe.
        contents: what is written to it, for the error.

    Raises:
        DataError: the file cannot be written, is a folder, or another run writes it.
    """
    problem = f"cannot write {contents} to {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise DataError(f"{problem}: it is a folder; name a file")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise DataError(f"{problem}: no permission")
        return OutputLock(path)
    except OSError as error:
        raise DataError(f"{problem}: {reason_of(error)}") from error
