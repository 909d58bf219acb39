"""The flags of the official FastSAM program: command lines of its `Inference.py` work unchanged.

    python Inference.py --model_path FastSAM-s.pt --img_path dogs.jpg --box_prompt "[[570,200,230,400]]"
    streamseg segment   --model_path FastSAM-s.pt --img_path dogs.jpg --box_prompt "[[570,200,230,400]]"

A single one of these flags selects FastSAM mode with the official program's defaults (imgsz 1024, conf 0.4, iou 0.9,
retina masks). The output image has the same path as the official program's; `instances.json`, which refers to the input
by its absolute path, is written beside it.
Two behaviours are corrected: `--retina False` and `--withContours False` mean False (in the official program any word
means True), and colours are the same at each run (there they are random, and `--randomcolor` has no effect).
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
    from streamseg.structures.arrays import ImageArray
    from streamseg.structures.message import Message, MessageObject

__all__ = ["add_fastsam_flags", "has_fastsam_flags", "job_from_fastsam_flags"]

TEXT_FLAGS = ("model_path", "img_path", "text_prompt", "output", "point_prompt", "point_label", "box_prompt")
SWITCHES = ("randomcolor", "better_quality", "retina", "withContours")
EQUIVALENTS = {
    "img_path": "input",
    "model_path": "weights",
    "output": "out",
    "point_prompt": "points",
    "point_label": "labels",
    "box_prompt": "boxes",
    "text_prompt": "text",
}
"""FastSAM's flags and streamseg's equivalents; giving both is an error."""

DEFAULTS = {"imgsz": 1024, "conf": 0.4, "iou": 0.9}
MODEL_PATH, IMG_PATH, OUTPUT = "./weights/FastSAM.pt", "./images/dogs.jpg", "./output/"
COORDINATE_LIMIT = 1e9
"""Exclusive upper bound of coordinates; rejects infinity and integers that no float can hold."""
MAX_LIST_CHARACTERS = 100_000
"""Maximum length of a list; a deeply nested one would exhaust the parser's stack."""


def add_fastsam_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags without a line in the help."""
    for name in TEXT_FLAGS:
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    for name in SWITCHES:
        parser.add_argument(f"--{name}", type=_switch, help=argparse.SUPPRESS)


def has_fastsam_flags(args: argparse.Namespace) -> bool:
    """Return whether at least one of the flags was given."""
    return any(getattr(args, name) is not None for name in (*TEXT_FLAGS, *SWITCHES))


def job_from_fastsam_flags(args: argparse.Namespace) -> Job:
    """Return the job that the official program would run.

    Boxes are used if the first box has a width and a height; else a text; else points if the first point is not
    [0, 0]; else everything. Boxes are x, y, width and height. The path of the output image is `--output` directly
    followed by the file name of the input; a folder therefore needs its trailing slash.

    Raises:
        ConfigError: a flag and its streamseg equivalent are both given, or the input is not one image.
        DataError: a list is invalid, or does not consist of points, labels or boxes; or a text is empty or too long.
    """
    from streamseg.config import IMAGE_SUFFIXES

    for flag, equivalent in EQUIVALENTS.items():
        if getattr(args, flag) is not None and getattr(args, equivalent) is not None:
            name = "INPUT" if equivalent == "input" else f"--{equivalent}"
            raise ConfigError(f"--{flag} and {name} have the same meaning; give one of them")
    source = args.input or args.img_path or IMG_PATH
    is_pattern = any(sign in source for sign in "*?[") and not Path(source).is_file()
    if Path(source).is_dir() or is_pattern or "://" in source or source.isdecimal():
        raise ConfigError(f"FastSAM's flags accept one image, got {source!r}; use --points, --boxes and --out instead")
    settings: dict[str, Any] = dict(DEFAULTS)
    if args.model_path is not None:
        settings["weights"] = args.model_path
    elif args.input is None:  # only FastSAM's flags: its default weights; with INPUT: streamseg's
        settings["weights"] = MODEL_PATH
    target = Path(f"{args.output or OUTPUT}{Path(source).name}") if args.out is None else args.out / Path(source).name
    if Path(source).is_file() and target.suffix.lower() not in IMAGE_SUFFIXES:
        target = target.with_suffix(".png")  # the official program's name would have no image writer
    random_colours = args.randomcolor is not False
    with_contours = bool(args.withContours)
    prompts = _prompts(args)

    def draw(image: ImageArray, message: Message) -> ImageArray:
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
        copies_images=False,
        finish=_with_better_quality if args.better_quality else None,
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
        # The official program ignores extra labels.
        point_labels = tuple(int(label) for label in labels[0][: len(points)])
        return (PointPrompt("point0", tuple((x, y) for x, y in points), point_labels),)
    return (EverythingPrompt(),)


def _rows(flag: str, text: str, num_columns: int | None, shape: str) -> list[list[float]]:
    """Parse a list of lists of `num_columns` numbers; for None, one list of any length.

    Lists are parsed as Python literals, as in the official program (`1.`, tuples); nothing is evaluated.
    """
    invalid = DataError(f"{flag} must be {shape}, got {text[:200]!r}")
    try:
        value: Any = ast.literal_eval(text.strip()) if len(text) <= MAX_LIST_CHARACTERS else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise invalid from error
    rows = [value] if num_columns is None else value
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
        raise invalid
    for row in rows:
        if not isinstance(row, list | tuple) or len(row) != (num_columns or len(row)) or not row:
            raise invalid
        if any(isinstance(number, bool) or not isinstance(number, int | float) for number in row):
            raise invalid
        if not all(abs(number) < COORDINATE_LIMIT for number in row):
            raise invalid
    return [list(row) for row in rows]


def _switch(word: str) -> bool:
    """Parse True or False as in Python, in any case; also 1 and 0."""
    value = {"true": True, "1": True, "false": False, "0": False, "": False}.get(word.strip().lower())
    if value is None:
        raise argparse.ArgumentTypeError(f"must be True or False, got {word!r}")
    return value


def _with_better_quality(message: Message) -> Message:
    """Apply `better_quality` to the masks, both in the output image and in the results."""
    from streamseg.fastsam.reference_selection import better_quality
    from streamseg.structures.mask import CropMask

    def improve(one: MessageObject) -> MessageObject:
        # The canvas of the masks is not the image if they are at the size of the network's input.
        mask = replace(CropMask.of(better_quality(one.mask.full(message.mask_size))), space=one.mask.space)
        return replace(one, mask=mask, area=mask.area)

    return replace(message, objects=tuple(improve(one) for one in message.objects))
