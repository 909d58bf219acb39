"""`streamseg segment`: a picture, a folder or a video, to overlays and COCO-format results."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.errors import ConfigError, DataError
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt

if TYPE_CHECKING:
    from streamseg.config import SegmentationConfig

__all__ = ["add_parser", "parse_prompts", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `segment`."""
    parser = subparsers.add_parser(
        "segment",
        help="segment a picture, a folder or a video",
        description="Writes an overlay for each picture (PNG) or the video (MP4), and instances.json: COCO results"
        " with compressed run lengths. Without points and boxes: every object.",
    )
    parser.add_argument("input", metavar="INPUT", help="picture, folder, glob pattern or video file")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results (default %(default)s)")
    parser.add_argument("--points", metavar="JSON", help="[[x, y], ...] of one object, or a list of such lists")
    parser.add_argument("--labels", metavar="JSON", help="[1, 0, ...]: 1 foreground, 0 background; one per point")
    parser.add_argument("--boxes", metavar="JSON", help="[[x0, y0, x1, y1], ...]: one object each")
    parser.add_argument("--vid_stride", "--vid-stride", type=int, default=1, metavar="N", help="every n-th frame")
    parser.add_argument("--no-overlay", action="store_true", help="write instances.json only")
    add_segmentation_arguments(parser)
    parser.set_defaults(command=run)


def add_segmentation_arguments(parser: argparse.ArgumentParser, unset: Mapping[str, str] | None = None) -> None:
    """The network's options, under the ecosystem's names.

    Args:
        parser: gets them.
        unset: options that are None unless they are given, because their defaults depend on something else, and
            what the help says about them.
    """
    from streamseg.config import SegmentationConfig

    group = parser.add_argument_group("network")
    for name, kind, remark in (
        ("weights", str, "default, FastSAM-s, FastSAM-x, or a path to .safetensors, .pt or .onnx"),
        ("engine", str, "auto, torch or onnx"),
        ("device", str, "auto, cpu, cuda or cuda:N"),
        ("imgsz", int, "long side of the network's input in pixels"),
        ("conf", float, "lowest score"),
        ("iou", float, "boxes that overlap a better one by more are removed"),
        ("max_det", int, "most objects per picture"),
    ):
        default = None if unset and name in unset else SegmentationConfig.model_fields[name].default
        shown = (unset or {}).get(name, "the weights' own" if default is None else default)
        flags = [f"--{name}"] + ([f"--{name.replace('_', '-')}"] if "_" in name else [])
        group.add_argument(*flags, type=kind, default=default, help=f"{remark} (default {shown})")
    group.add_argument("--half", action="store_true", default=None, help="half precision (default: on CUDA)")


def segmentation_config(args: argparse.Namespace) -> SegmentationConfig:
    """The options as a section of the configuration.

    Raises:
        ConfigError: a value is not allowed.
    """
    from pydantic import ValidationError

    from streamseg.config import SegmentationConfig

    values = {name: getattr(args, name) for name in SegmentationConfig.model_fields if getattr(args, name) is not None}
    try:
        return SegmentationConfig.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigError(f"--{problem['loc'][0]}: {problem['msg']}, got {problem['input']!r}") from error


def parse_prompts(points: str | None, labels: str | None, boxes: str | None) -> tuple[Prompt, ...]:
    """Prompts from the JSON of the command line; everything when there is none.

    Raises:
        DataError: no JSON, or not of the shape described in `--help`.
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
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return 0 if number else -1
    depths = {_depth(item) for item in value}
    return depths.pop() + 1 if len(depths) == 1 and -1 not in depths else -1


def run(args: argparse.Namespace) -> int:
    """Segment the input; nothing is left in the folder when it fails."""
    from streamseg.capture import open_source
    from streamseg.capture.images import PictureFiles
    from streamseg.capture.video_file import VideoFile
    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.outputs import Outputs
    from streamseg.cli.progress import ProgressBar
    from streamseg.config import Config, ImagesSource, StreamSource, TrackingConfig, parse_source
    from streamseg.pipeline import Pipeline
    from streamseg.prompting import check_prompts
    from streamseg.segmentation import Segmenter

    prompts = parse_prompts(args.points, args.labels, args.boxes)
    config = parse_source(args.input)
    if isinstance(config, StreamSource) and "://" not in config.url:
        if args.vid_stride < 1:
            raise ConfigError(f"--vid_stride must be 1 or more, got {args.vid_stride}")
        config = config.model_copy(update={"mode": "every_frame", "vid_stride": args.vid_stride})
    elif not isinstance(config, ImagesSource):
        raise ConfigError(f"segment takes pictures and video files; for {args.input!r} use: streamseg run --source …")
    source = open_source(Config(sources=(config,)).named_sources()[0])
    segmentation = segmentation_config(args)
    fetch_named(segmentation.weights)
    segmenter = Segmenter.from_config(segmentation)
    names = [path.name for path in source.paths] if isinstance(source, PictureFiles) else None
    num_frames = len(names) if names is not None else None
    fps = 30.0
    if isinstance(source, VideoFile):
        num_frames = -(-source.num_frames // args.vid_stride) if source.num_frames else None
        fps = (source.fps or fps) / args.vid_stride
    # Separate pictures have nothing to follow.
    pipeline = Pipeline(segmenter, tracking=TrackingConfig(enabled=names is None), prompts=prompts)
    with Outputs(
        args.out, args.input, video_fps=fps if names is None else None, overlay=not args.no_overlay
    ) as outputs:
        progress = ProgressBar("frames" if names is None else "pictures", num_frames)
        unanswered = set()
        for frame in source.frames():
            check_prompts(prompts, frame.size)
            result = pipeline.finish(frame, pipeline.segment([frame])[0])
            outputs.write(result, Path(args.input).name if names is None else names[frame.index])
            progress.update(outputs.num_frames, f"{len(result.message.objects)} objects")
            unanswered |= {selection.prompt_id for selection in result.selections if not selection.rows}
        progress.close()
        if not outputs.num_frames:
            raise DataError(f"{args.input} holds no picture")
    print(f"{outputs.num_frames} frames, {outputs.num_instances} instances -> {', '.join(map(str, outputs.files()))}")
    for prompt in prompts:
        if prompt.prompt_id in unanswered and not isinstance(prompt, EverythingPrompt):
            print(f"{prompt.prompt_id}: in some pictures no object answers it")
    return 0
