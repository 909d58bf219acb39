"""What a run needs to go on exactly where it stopped. Read with `weights_only`: nothing in it is executed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from streamseg.errors import DataError

__all__ = ["load_checkpoint", "save_checkpoint"]


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write all of it or nothing: the last good checkpoint stays until the next one is complete.

    Raises:
        DataError: the disk is full or not writable; the previous checkpoint is intact.
    """
    partial = path.with_suffix(".partial")
    try:
        torch.save(state, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise DataError(f"cannot write the checkpoint {path}: {error}; the one before it is intact") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of this program.

    Raises:
        DataError: missing, truncated, or no checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"there is no checkpoint {path} to resume from") from error
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise DataError(f"{path} is no checkpoint of streamseg train: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict) or not {"step", "settings", "network", "average", "optimizer"} <= state.keys():
        raise DataError(f"{path} is no checkpoint of streamseg train: it lacks some of the parts a run needs")
    return state
