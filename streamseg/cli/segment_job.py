"""What one run of `streamseg segment` is to do, and how its flags say so."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.cli.modes import ModeName
from streamseg.errors import ConfigError, DataError
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt, TextPrompt

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from streamseg.structures.message import Message

__all__ = ["Job", "job_of_flags", "parse_prompts"]


@dataclass(frozen=True)
class Job:
    """One run."""

    source: str
    """A picture, a folder, a pattern or a video file."""
    folder: Path
    """Where the results go."""
    prompts: tuple[Prompt, ...]
    mode: ModeName = "streamseg"
    retina_masks: bool = True
    """FastSAM mode only: False gives masks at the size of the network's input."""
    segmentation: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the network where no flag gives them."""
    image_name: str | None = None
    """File name of the overlay of a single picture; None: that of the picture, as PNG."""
    finish: Callable[[Message], Message] | None = None
    """Changes the answers before they are written."""
    draw: Callable[[npt.NDArray[np.uint8], Message], npt.NDArray[np.uint8]] | None = None
    """Makes the overlay of a picture; None: the way of the other subcommands."""


def job_of_flags(args: argparse.Namespace) -> Job:
    """The job that the documented flags ask for.

    Raises:
        ConfigError: there is no input.
        DataError: the prompts are no JSON, or not of the shape described in `--help`.
    """
    if args.input is None:
        raise ConfigError("nothing to segment; give a picture, a folder or a video: streamseg segment INPUT")
    return Job(
        source=args.input,
        folder=args.out if args.out is not None else Path("out"),
        prompts=parse_prompts(args.points, args.labels, args.boxes, args.text),
        mode=args.mode or "streamseg",
    )


def parse_prompts(
    points: str | None, labels: str | None, boxes: str | None, texts: Sequence[str] | None = None
) -> tuple[Prompt, ...]:
    """Prompts from the JSON of the command line, and its texts; everything when there is none.

    Raises:
        DataError: no JSON, or not of the shape described in `--help`; or a text that is empty or too long.
    """
    prompts: list[Prompt] = []
    if points is None and labels is not None:
        raise DataError("--labels needs --points")
    if points is not None:
        groups = _json("--points", points, '[[x, y], ...], e.g. "[[520, 360]]"')
        marks = _json("--labels", labels, "[1, 0, ...], one per point") if labels is not None else None
        if _depth(groups) == 2:
            groups, marks = [groups], None if marks is None else [marks]
        if _depth(groups) != 3:
            raise DataError(f"--points must be [[x, y], ...] or a list of such lists, got {points}")
        if marks is not None and (_depth(marks) != 2 or len(marks) != len(groups)):
            raise DataError(f"--labels must be nested as --points is: one label per point, got {labels}")
        for number, group in enumerate(groups):
            ones = [1] * len(group) if marks is None else marks[number]
            coordinates = tuple(tuple(float(value) for value in point) for point in group)
            prompts.append(PointPrompt(f"point{number}", coordinates, tuple(ones)))  # type: ignore[arg-type]
    if boxes is not None:
        listed = _json("--boxes", boxes, '[[x0, y0, x1, y1], ...], e.g. "[[10, 20, 200, 300]]"')
        if _depth(listed) == 1:
            listed = [listed]
        if _depth(listed) != 2:
            raise DataError(f"--boxes must be [[x0, y0, x1, y1], ...], got {boxes}")
        prompts += [BoxPrompt(f"box{number}", tuple(map(float, box))) for number, box in enumerate(listed)]  # type: ignore[arg-type]
    prompts += [TextPrompt(f"text{number}", text) for number, text in enumerate(texts or ())]
    return tuple(prompts) or (EverythingPrompt(),)


def _json(flag: str, text: str, shape: str) -> list[Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{flag} is no JSON ({error.msg} at character {error.pos}); give {shape}, got {text!r}"
        ) from error
    if not isinstance(value, list) or not value:
        raise DataError(f"{flag} must be a list that is not empty: {shape}; got {text}")
    return value


def _depth(value: Any) -> int:
    """How deep lists of finite numbers are nested; -1 when they are uneven or hold anything else."""
    if isinstance(value, bool) or not isinstance(value, list):
        # No comparison holds for NaN, and an int may be too large for a float.
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
        return 0 if number else -1
    depths = {_depth(item) for item in value}
    return depths.pop() + 1 if len(depths) == 1 and -1 not in depths else -1
