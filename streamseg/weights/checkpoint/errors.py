"""Error messages for rejected checkpoints: one line, with values from the file quoted and truncated."""

from __future__ import annotations

from streamseg.errors import WeightsError

__all__ = ["DAMAGED", "UNSUPPORTED", "checkpoint_error", "quoted"]

DAMAGED = "the file is damaged or malicious; download it again from its publisher"
"""Advice for a file that no program writes this way."""

UNSUPPORTED = "streamseg supports YOLOv8-seg and FastSAM networks; choose a checkpoint of one of them"
"""Advice for a valid file with other contents."""

_MAX_QUOTED = 80


def checkpoint_error(problem: str, advice: str = DAMAGED) -> WeightsError:
    """Return the error to raise; `read_checkpoint` prepends the path of the file."""
    return WeightsError(f"{problem}; {advice}")


def quoted(value: object) -> str:
    """Format a string or number from the file for one line. Of other values, return the type only."""
    if not isinstance(value, str | int | float | None):
        return f"a {type(value).__name__}"
    # Truncate first: the repr of a huge string is as large as the string.
    text = value[: _MAX_QUOTED + 1] if isinstance(value, str) else value
    shown = repr(text)
    return shown if len(shown) <= _MAX_QUOTED else f"{shown[:_MAX_QUOTED]}…"
