"""Checkpoints: the complete state of a run, to resume exactly where it stopped.

They are read with `weights_only`: no code in a checkpoint is executed.
"""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from streamseg.errors import DataError, reason_of

__all__ = ["load_checkpoint", "save_checkpoint"]

PARTS = frozenset({"step", "settings", "network", "average", "optimizer"})

UNPICKLING_ERRORS = (
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
"""Raised while unpickling a foreign or damaged file, depending on the position of the damage."""


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint atomically: the previous one remains until the new one is complete.

    Raises:
        DataError: the disk is full or not writable; the previous checkpoint is intact.
    """
    partial = path.with_suffix(".partial")
    try:
        try:
            # With a Python file object, a full disk raises an OSError that states the cause.
            with partial.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:
        # If a write fails midway, closing torch's archive raises a second error, which hides the cause.
        reason = error if isinstance(error, OSError) else error.__context__
        if not isinstance(reason, OSError):
            raise
        previous = "the previous checkpoint is intact" if path.exists() else "there is no previous checkpoint"
        raise DataError(f"cannot write {path}: {reason_of(reason)}; {previous}") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint written by `streamseg train`.

    Raises:
        DataError: the file is missing, truncated, damaged, or not a checkpoint.
    """
    damaged, state = None, None
    try:
        # A checkpoint is a zip archive; torch does not verify its checksums.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is None:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"there is no checkpoint {path} to resume from") from error
    except OSError as error:
        raise DataError(f"cannot read the checkpoint {path}: {reason_of(error)}") from error
    except UNPICKLING_ERRORS as error:
        kind = type(error).__name__
        raise DataError(
            f"{path} is not a checkpoint of streamseg train, or it is truncated or damaged ({kind})"
        ) from error
    if damaged is not None:
        raise DataError(f"{path} is damaged: the checksum of {damaged} is wrong; resume from an older copy")
    if not isinstance(state, dict) or not state.keys() >= PARTS:
        raise DataError(f"{path} is not a checkpoint of streamseg train: it lacks parts that a run requires")
    return state
