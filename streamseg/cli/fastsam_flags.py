"""The flags of the official FastSAM program, so that a command line made for it works unchanged.

    python Inference.py --model_path FastSAM-s.pt --img_path dogs.jpg --box_prompt "[[570,200,230,400]]"
    streamseg segment   --model_path FastSAM-s.pt --img_path dogs.jpg --box_prompt "[[570,200,230,400]]"

One of them is enough: the answers are the reference's then, with its defaults (imgsz 1024, conf 0.4,
iou 0.9, retina masks), and its picture goes where it goes there, beside `instances.json`. Two things are
read as they are meant, and not as there: `--retina False` and `--withContours False` mean False (there,
every word does not), and colours are the same each time (there, random, and `--randomcolor` without effect).
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.cli.segment_job import Job
from streamseg.errors import ConfigError, DataError
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt, TextPrompt

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from streamseg.structures.message import Message, MessageObject

__all__ = ["add_official_flags", "has_official_flags", "job_of_official_flags"]

TEXTS = ("model_path", "img_path", "text_prompt", "output", "point_prompt", "point_label", "box_prompt")
SWITCHES = ("randomcolor", "better_quality", "retina", "withContours")
TWINS = {
    "img_path": "input",
    "model_path": "weights",
    "output": "out",
    "point_prompt": "points",
    "point_label": "labels",
    "box_prompt": "boxes",
    "text_prompt": "text",
}
"""Flags of theirs, and those of ours that say the same: not both at once."""

DEFAULTS = {"imgsz": 1024, "conf": 0.4, "iou": 0.9}
MODEL_PATH, IMG_PATH, OUTPUT = "./weights/FastSAM.pt", "./images/dogs.jpg", "./output/"
LARGEST = 1e9
"""Coordinates are less; infinity and numbers that no float can hold are none."""
LONGEST = 100_000
"""Characters of a list; a deeply nested one would exhaust the parser's stack."""


def add_official_flags(parser: argparse.ArgumentParser) -> None:
    """Add them, without a line in the help."""
    for name in TEXTS:
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    for name in SWITCHES:
        parser.add_argument(f"--{name}", type=_switch, help=argparse.SUPPRESS)


def has_official_flags(args: argparse.Namespace) -> bool:
    """Whether one of them was given."""
    return any(getattr(args, name) is not None for name in (*TEXTS, *SWITCHES))


def job_of_official_flags(args: argparse.Namespace) -> Job:
    """What the official program would do.

    A box is asked for where the first one has a width and a height, else a text, else points where the
    first one is not [0, 0], else everything. Boxes are x, y, width and height. The picture goes to
    `--output` and the input's file name put together, so that a folder needs its slash.

    Raises:
        ConfigError: a flag is given twice, once by our name.
        DataError: a list cannot be read, or is none of points, labels or boxes; or a text is empty or too long.
    """
    for theirs, ours in TWINS.items():
        if getattr(args, theirs) is not None and getattr(args, ours) is not None:
            name = "INPUT" if ours == "input" else f"--{ours}"
            raise ConfigError(f"--{theirs} and {name} say the same; give one of them")
    source = args.input or args.img_path or IMG_PATH
    if Path(source).is_dir() or any(sign in source for sign in "*?[") or "://" in source or source.isdecimal():
        raise ConfigError(f"the official flags take one picture, got {source!r}; use --points, --boxes and --out")
    settings: dict[str, Any] = dict(DEFAULTS)
    if args.model_path is not None:
        settings["weights"] = args.model_path
    elif args.input is None:  # a command line that is wholly theirs; with INPUT, the weights are ours
        settings["weights"] = MODEL_PATH
    target = Path(f"{args.output or OUTPUT}{Path(source).name}") if args.out is None else args.out / Path(source).name
    random_colours = args.randomcolor is not False
    with_contours = bool(args.withContours)
    prompts = _prompts(args)

    def draw(image: npt.NDArray[np.uint8], message: Message) -> npt.NDArray[np.uint8]:
        from streamseg.fastsam.reference_drawing import ONE_COLOUR, draw_reference

        points = [one for one in prompts if isinstance(one, PointPrompt)]
        return draw_reference(
            image,
            [one.mask for one in message.objects],
            mask_size=message.mask_size,
            colours=None if random_colours else [ONE_COLOUR] * len(message.objects),
            with_contours=with_contours,
            boxes=[one.box for one in prompts if isinstance(one, BoxPrompt)],
            point_coords=[point for one in points for point in one.point_coords],
            point_labels=[label for one in points for label in one.point_labels],
        )

    return Job(
        source=source,
        folder=target.parent,
        prompts=prompts,
        mode=args.mode or "fastsam",
        retina_masks=args.retina is not False,
        segmentation=settings,
        image_name=target.name,
        finish=_smoothed if args.better_quality else None,
        draw=draw,
    )


def _prompts(args: argparse.Namespace) -> tuple[Prompt, ...]:
    boxes = _rows("--box_prompt", args.box_prompt or args.boxes or "[[0,0,0,0]]", 4, "[[x,y,w,h],...]")
    if boxes[0][2] != 0 and boxes[0][3] != 0:
        if args.box_prompt is not None:
            boxes = [[x, y, x + width, y + height] for x, y, width, height in boxes]
        return tuple(BoxPrompt(f"box{number}", (*box,)) for number, box in enumerate(boxes))  # type: ignore[arg-type]
    texts = args.text or []
    if args.text_prompt is not None or texts:
        return tuple(TextPrompt(f"text{number}", text) for number, text in enumerate(texts or [args.text_prompt]))
    points = _rows("--point_prompt", args.point_prompt or args.points or "[[0,0]]", 2, "[[x1,y1],[x2,y2],...]")
    if points[0] != [0, 0]:
        labels = _rows("--point_label", args.point_label or args.labels or "[0]", None, "[1,0,...]")
        # There, labels that are left over are not looked at.
        label_of = tuple(int(label) for label in labels[0][: len(points)])
        return (PointPrompt("point0", tuple((x, y) for x, y in points), label_of),)
    return (EverythingPrompt(),)


def _rows(flag: str, text: str, width: int | None, shape: str) -> list[list[float]]:
    """A list of lists of `width` numbers; of None, one list of any length.

    Lists are read as Python writes them, as there (`1.`, tuples): literals alone, nothing is evaluated.
    """
    wrong = DataError(f"{flag} must be {shape}, got {text[:200]!r}")
    try:
        value: Any = ast.literal_eval(text.strip()) if len(text) <= LONGEST else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise wrong from error
    rows = [value] if width is None else value
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
        raise wrong
    for row in rows:
        if not isinstance(row, list | tuple) or len(row) != (width or len(row)) or not row:
            raise wrong
        if any(isinstance(number, bool) or not isinstance(number, int | float) for number in row):
            raise wrong
        if not all(abs(number) < LARGEST for number in row):
            raise wrong
    return [list(row) for row in rows]


def _switch(word: str) -> bool:
    """True or False, as Python writes them, in any case; 1 and 0, too."""
    meaning = {"true": True, "1": True, "false": False, "0": False, "": False}.get(word.strip().lower())
    if meaning is None:
        raise argparse.ArgumentTypeError(f"True or False, got {word!r}")
    return meaning


def _smoothed(message: Message) -> Message:
    """The same with `better_quality` masks, in the picture and in the results."""
    from streamseg.fastsam.reference_selection import better_quality
    from streamseg.structures.message import CropMask

    def smooth(one: MessageObject) -> MessageObject:
        mask = CropMask(better_quality(one.mask.full(message.mask_size)), 0, 0)
        return replace(one, mask=mask, area=mask.area)

    return replace(message, objects=tuple(smooth(one) for one in message.objects))
