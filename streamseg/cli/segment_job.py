"""The job of one `streamseg segment` run, built from its flags."""

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
    from streamseg.structures.arrays import ImageArray
    from streamseg.structures.message import Message

__all__ = ["Job", "job_from_flags", "parse_prompts"]


@dataclass(frozen=True)
class Job:
    """The input, prompts and outputs of one run."""

    source: str
    """An image, a folder, a glob pattern or a video file."""
    folder: Path
    """Output folder."""
    prompts: tuple[Prompt, ...]
    mode: ModeName = "streamseg"
    retina_masks: bool = True
    """FastSAM mode only: False gives masks at the size of the network's input."""
    segmentation: Mapping[str, Any] = field(default_factory=dict)
    """Default settings of the network, used if no flag gives them."""
    image_name: str | None = None
    """File name of the overlay of a single image; None: the name of the image, as PNG."""
    copies_images: bool = True
    """Whether the data set includes its images, unless the user decides."""
    finish: Callable[[Message], Message] | None = None
    """Modifies each message before it is written."""
    draw: Callable[[ImageArray, Message], ImageArray] | None = None
    """Draws the overlay of an image; None: the standard overlay."""


def job_from_flags(args: argparse.Namespace) -> Job:
    """Return the job of the documented flags.

    Raises:
        ConfigError: the input is missing.
        DataError: the prompts are not valid JSON, or not of the shape described in `--help`.
    """
    if args.input is None:
        raise ConfigError("no input; give an image, a folder or a video: streamseg segment INPUT")
    return Job(
        source=args.input,
        folder=args.out if args.out is not None else Path("out"),
        prompts=parse_prompts(args.points, args.labels, args.boxes, args.text),
        mode=args.mode or "streamseg",
    )


def parse_prompts(
    points: str | None, labels: str | None, boxes: str | None, texts: Sequence[str] | None = None
) -> tuple[Prompt, ...]:
    """Return the prompts of the command line, given as JSON and texts; without any, the everything prompt.

    Raises:
        DataError: not valid JSON, or not of the shape described in `--help`; or a text that is empty or too long.
    """
    prompts: list[Prompt] = []
    if points is None and labels is not None:
        raise DataError("--labels needs --points")
    if points is not None:
        groups = _json("--points", points, 'x,y as in 520,360, or [[x, y], ...] as in "[[520, 360]]"')
        label_groups = _json("--labels", labels, "1,0 or [1, 0, ...], one per point") if labels is not None else None
        if _depth(groups) == 2:
            groups, label_groups = [groups], None if label_groups is None else [label_groups]
        if _depth(groups) != 3:
            raise DataError(f"--points must be [[x, y], ...] or a list of such lists, got {points}")
        if label_groups is not None and (_depth(label_groups) != 2 or len(label_groups) != len(groups)):
            raise DataError(f"--labels must be nested like --points, with one label per point, got {labels}")
        for number, group in enumerate(groups):
            group_labels = [1] * len(group) if label_groups is None else label_groups[number]
            coordinates = tuple(tuple(float(value) for value in point) for point in group)
            prompts.append(PointPrompt(f"point{number}", coordinates, tuple(group_labels)))  # type: ignore[arg-type]
    if boxes is not None:
        listed = _json("--boxes", boxes, "x0,y0,x1,y1 as in 10,20,200,300, or [[x0, y0, x1, y1], ...]")
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
        fault = f" is not valid JSON ({error.msg} at character {error.pos})" if text.lstrip().startswith("[") else ""
        raise DataError(f"{flag}{fault or ' has the wrong form'}; give {shape}, got {text!r}") from error
    if not isinstance(value, list) or not value:
        raise DataError(f"{flag} must be a non-empty list: {shape}; got {text}")
    return value


def _depth(value: Any) -> int:
    """Return the nesting depth of lists of finite numbers; -1 if it is uneven or there are other values."""
    if isinstance(value, bool) or not isinstance(value, list):
        # Every comparison with NaN is False, and an int may be too large for a float.
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
        return 0 if number else -1
    depths = {_depth(item) for item in value}
    return depths.pop() + 1 if len(depths) == 1 and -1 not in depths else -1
