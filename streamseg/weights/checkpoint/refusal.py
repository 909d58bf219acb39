"""How everything in this room says no: one line, with what was found quoted and cut to a readable length."""

from __future__ import annotations

from streamseg.errors import WeightsError

__all__ = ["AGAIN", "OTHER", "quoted", "refuse"]

AGAIN = "the file is damaged or was made to do harm; get it again from where it is published"
"""The way out for a file that no program wrote like this."""

OTHER = "streamseg runs YOLOv8-seg and FastSAM networks; give a checkpoint of one of them"
"""The way out for a sound file of something else."""

_LONGEST = 80


def refuse(thing: str, way_out: str = AGAIN) -> WeightsError:
    """The error to raise; `read_checkpoint` puts the file's name before it."""
    return WeightsError(f"{thing}; {way_out}")


def quoted(value: object) -> str:
    """A string or number from the file, fit for one line. Nothing else from the file is ever printed."""
    if not isinstance(value, str | int | float | None):
        return f"a {type(value).__name__}"
    # Cut first: the representation of a huge string is as huge.
    text = value[: _LONGEST + 1] if isinstance(value, str) else value
    shown = repr(text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
