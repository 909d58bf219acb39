"""What a run needs to go on exactly where it stopped. Read with `weights_only`: nothing in it is executed."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from streamseg.errors import DataError

__all__ = ["load_checkpoint", "save_checkpoint"]

PARTS = frozenset({"step", "settings", "network", "average", "optimizer"})

# What the reader of pickles raises at foreign or broken bytes, depending on where they break.
FOREIGN = (
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    AttributeError,
    EOFError,
    KeyError,
    IndexError,
    RuntimeError,
    TypeError,
    ValueError,
)


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write all of it or nothing: the last good checkpoint stays until the next one is complete.

    Raises:
        DataError: the disk is full or not writable; the previous checkpoint is intact.
    """
    partial = path.with_suffix(".partial")
    try:
        try:
            # Through a file of Python's, a full disk is an OSError that says so.
            with partial.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:
        # Where a write fails midway, torch's archive fails once more when it is closed, and hides the reason.
        reason = error if isinstance(error, OSError) else error.__context__
        if not isinstance(reason, OSError):
            raise
        before = "the checkpoint before is intact" if path.exists() else "there is no checkpoint before it"
        raise DataError(f"cannot write {path}: {reason.strerror or reason}; {before}") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of this program.

    Raises:
        DataError: missing, truncated, damaged, or no checkpoint.
    """
    damaged, state = None, None
    try:
        # A checkpoint is a zip archive; torch does not compare its checksums.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is None:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"there is no checkpoint {path} to resume from") from error
    except OSError as error:
        raise DataError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    except FOREIGN as error:
        kind = type(error).__name__
        raise DataError(f"{path} is no checkpoint of streamseg train, or is cut off or damaged ({kind})") from error
    if damaged is not None:
        raise DataError(f"{path} is damaged: the checksum of {damaged} is wrong; resume from an older copy")
    if not isinstance(state, dict) or not state.keys() >= PARTS:
        raise DataError(f"{path} is no checkpoint of streamseg train: it lacks some of the parts a run needs")
    return state
