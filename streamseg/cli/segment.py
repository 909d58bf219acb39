"""`streamseg segment`: write overlays and COCO-format results of images, folders and videos."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from streamseg.cli.effect_options import add_effect_arguments, style_from_arguments
from streamseg.cli.fastsam_flags import add_fastsam_flags, has_fastsam_flags, job_from_fastsam_flags
from streamseg.cli.modes import FORMER_NAMES, MODE_NAMES, open_mode
from streamseg.cli.output_options import add_output_arguments, check_output_arguments, open_outputs
from streamseg.cli.segment_job import job_from_flags
from streamseg.cli.short_lists import expand_list, expand_rows
from streamseg.cli.tier_options import add_grid_arguments, add_quality_argument, open_grid, open_image_tiers
from streamseg.errors import ConfigError, DataError, counted
from streamseg.structures.prompt import EverythingPrompt, TextPrompt

if TYPE_CHECKING:
    from streamseg.config import SegmentationConfig

__all__ = ["add_parser", "add_segmentation_arguments", "run", "segmentation_config"]

ALL_CLOSE_UPS = 1000
"""Limit of close-ups where nothing waits for an image: that of the configuration keeps frames of a live run short."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand `segment`."""
    parser = subparsers.add_parser(
        "segment",
        aliases=["predict", "track"],
        help="segment an image, a folder or a video",
        description="Write an overlay of each image (PNG) or of the video (MP4), and a data set with the images and the"
        " objects' masks, by default in COCO format. Without points, boxes and texts, all objects are selected."
        " Objects of a video have track ids, also under the names predict and track; for cameras and streams use run.",
    )
    parser.add_argument("input", metavar="INPUT", nargs="?", help="image, folder, glob pattern or video file")
    parser.add_argument("--source", metavar="INPUT", help="the same as INPUT")
    parser.add_argument(
        "--points",
        type=expand_rows(2),
        metavar="X,Y",
        help="520,360 or '520,360 600,400': points of one object; or JSON: [[x, y], ...], or a list of such lists",
    )
    parser.add_argument(
        "--labels",
        type=expand_list,
        metavar="1,0",
        help="1 foreground, 0 background; one per point; or JSON [1, 0, ...]",
    )
    parser.add_argument(
        "--boxes",
        type=expand_rows(4),
        metavar="X0,Y0,X1,Y1",
        help="10,20,200,300: one object each; or JSON: [[x0, y0, x1, y1], ...]",
    )
    parser.add_argument(
        "--text",
        action="append",
        metavar="T",
        help="select objects by a text; repeatable: each object gets its best text",
    )
    parser.add_argument(
        "--text-encoders",
        metavar="FOLDER",
        help="from streamseg text export (default: the cache folder)",
    )
    parser.add_argument(
        "--text-model",
        metavar="NAME|FOLDER",
        help="an open-vocabulary detector for --text: yolo-world, omdet-turbo, grounding-dino, sam3 or a folder",
    )
    parser.add_argument(
        "--mode",
        choices=MODE_NAMES,
        help="fastsam: masks and prompt matches of the official FastSAM program (default streamseg)",
    )
    parser.add_argument(
        "--prompting", choices=tuple(FORMER_NAMES), action=_FormerMode, dest="mode", help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--vid_stride", "--vid-stride", type=int, default=1, metavar="N", help="every n-th frame of a video"
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with code 2 if an image of a folder or pattern was skipped"
    )
    add_quality_argument(parser)
    add_effect_arguments(
        parser, "in place of overlays: blur the background of the prompted objects, cut them out, or dim it"
    )
    parser.add_argument(
        "--everything",
        action="store_true",
        help="find the objects by a grid of points with --model, in place of the network",
    )
    add_output_arguments(parser)
    add_segmentation_arguments(parser, {"max_close_ups": str(ALL_CLOSE_UPS)})
    add_grid_arguments(parser, "--model", "the model, by name or folder; requires --everything")
    add_fastsam_flags(parser)
    # None means not given: the defaults depend on whether FastSAM's flags are used.
    parser.set_defaults(
        command=run,
        **dict.fromkeys(
            ("weights", "engine", "device", "imgsz", "conf", "iou", "max_det", "masks", "scores", "expected_conf")
        ),
    )


class _FormerMode(argparse.Action):
    """Accepts the former names of the modes."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        setattr(namespace, self.dest, FORMER_NAMES[values])


def add_segmentation_arguments(parser: argparse.ArgumentParser, unset: Mapping[str, str] | None = None) -> None:
    """Add the options of the network, under their usual names.

    Args:
        parser: the parser to extend.
        unset: options that are None if not given, because their defaults depend on other settings, with the default
            that the help shows.
    """
    from streamseg.config import SegmentationConfig

    group = parser.add_argument_group("network")
    for name, kind, remark in (
        ("weights", str, "default, FastSAM-s, FastSAM-x, or a path to .safetensors, .pt, .onnx or .xml"),
        ("engine", str, "auto, torch, onnx or openvino"),
        ("device", str, "auto, cpu, cuda, cuda:N, or N"),
        ("imgsz", int, "long side of the network's input in pixels"),
        ("conf", float, "score threshold"),
        ("iou", float, "IoU threshold of non-maximum suppression"),
        ("max_det", int, "maximum number of objects per image"),
        ("masks", str, "plain or sharp; auto: sharp if the weights include a refiner"),
        ("scores", str, "raw or calibrated; auto: calibrated if the weights include a refiner"),
        ("expected_conf", float, "score threshold for tracked objects at their expected location; 1: never below conf"),
        ("max_close_ups", int, "enlarged windows per image in which new boxes and points are searched for; 0: none"),
        ("max_followed_close_ups", int, "the same around small objects that are followed through a video"),
    ):
        default = None if unset and name in unset else SegmentationConfig.model_fields[name].default
        shown = (unset or {}).get(name, "from the weights" if default is None else default)
        flags = [f"--{name}"] + ([f"--{name.replace('_', '-')}"] if "_" in name else [])
        group.add_argument(*flags, type=kind, default=default, help=f"{remark} (default {shown})")
    group.add_argument("--half", action="store_true", default=None, help="half precision (default: on CUDA)")


def segmentation_config(args: argparse.Namespace, defaults: Mapping[str, Any] | None = None) -> SegmentationConfig:
    """Return the options as a section of the configuration.

    Args:
        args: the options; None means not given.
        defaults: values that replace the configuration's defaults for options that were not given.

    Raises:
        ConfigError: a value is not allowed.
    """
    from pydantic import ValidationError

    from streamseg.config import SegmentationConfig
    from streamseg.config.explanations import explain

    given = {name: getattr(args, name) for name in SegmentationConfig.model_fields if getattr(args, name) is not None}
    values = {**(defaults or {}), **given}
    try:
        return SegmentationConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(f"--{line}" for line in explain(error, SegmentationConfig))) from error


def run(args: argparse.Namespace) -> int:
    """Segment the input. Of many images, those that fail are skipped; a single input that fails writes nothing."""
    from streamseg.capture import open_source
    from streamseg.capture.animation import AnimatedImage
    from streamseg.capture.content import fit_to_content
    from streamseg.capture.images import ImageFiles
    from streamseg.capture.source import MendsTimes
    from streamseg.capture.timeline import describe_mended
    from streamseg.capture.video_file import VideoFile
    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.skips import Skips
    from streamseg.cli.terminal import ProgressBar, describe_tier
    from streamseg.config import Config, ImagesSource, StreamSource, TextConfig, TrackingConfig, parse_source
    from streamseg.drawing.effect_book import EffectBook
    from streamseg.engines import leave_cores
    from streamseg.pipeline import Pipeline
    from streamseg.pipeline.segment_function import SegmentFunction

    if args.source is not None:
        if args.input is not None:
            raise ConfigError(f"give one input, not {args.input} and --source {args.source}")
        args.input = args.source
    if args.everything != (args.model is not None):
        raise ConfigError("--everything and --model belong together: segment INPUT --everything --model sam-vit-b")
    if args.vid_stride < 1:
        raise ConfigError(f"--vid_stride must be 1 or more, got {args.vid_stride}")
    check_output_arguments(args)
    job = job_from_fastsam_flags(args) if has_fastsam_flags(args) else job_from_flags(args)
    style = style_from_arguments(args)
    if style is not None and all(isinstance(prompt, EverythingPrompt) for prompt in job.prompts):
        raise ConfigError(f"--effect {args.effect} needs the object to show: add --points, --boxes or --text")
    config = fit_to_content(parse_source(job.source))
    if isinstance(config, StreamSource) and "://" not in config.url:
        config = config.model_copy(update={"mode": "every_frame", "vid_stride": args.vid_stride})
    elif not isinstance(config, ImagesSource):
        raise ConfigError(f"segment accepts images and video files; for {job.source!r} use: streamseg run …")
    mode = open_mode(job.mode, retina_masks=job.retina_masks)
    texts = TextConfig(encoders=args.text_encoders or "default", model=args.text_model or "clip")
    text = mode.text_matcher(texts, every_object=True)
    if any(isinstance(prompt, TextPrompt) for prompt in job.prompts):
        text.prepare()  # fail before the weights are fetched and read
    source = open_source(Config(sources=(config,)).named_sources()[0])
    segmentation = segmentation_config(args, {"max_close_ups": ALL_CLOSE_UPS, **job.segmentation})
    paths = source.paths if isinstance(source, ImageFiles) else None
    tiers = open_image_tiers(args.quality, job.mode, segmentation.device)
    segmenter: SegmentFunction
    if args.model is not None:
        segmenter = open_grid(args.model, args, device=segmentation.device)
    else:
        fetch_named(segmentation.weights)
        network = segmenter = mode.open_segmenter(segmentation, embeddings=paths is None)
        leave_cores(network.engine)
    num_frames = len(paths) if paths is not None else None
    fps = 30.0
    if isinstance(source, VideoFile | AnimatedImage):
        num_frames = -(-source.num_frames // args.vid_stride) if source.num_frames else None
        fps = (source.fps or fps) / args.vid_stride
    skips = Skips(source if isinstance(source, ImageFiles) else None)
    # Separate images have no tracks.
    pipeline = Pipeline(
        segmenter,
        tracking=TrackingConfig(enabled=paths is None),
        prompts=job.prompts,
        matcher=mode.prompt_matcher(),
        text=text,
        tiers=tiers,
        effects=EffectBook(style, hold=paths is None),
    )
    with (
        ProgressBar("frames" if paths is None else "images", num_frames) as progress,
        open_outputs(args, job, paths, fps=fps, keep_finished=skips.is_batch) as outputs,
    ):
        unmatched = set()
        shown = ""
        for frame in source.frames():
            if not skips.has_valid_prompts(frame, job.prompts):
                continue
            result = pipeline.finish(frame, pipeline.segment([frame])[0])
            if job.finish is not None:
                result = replace(result, message=job.finish(result.message))
            outputs.write(result)
            shown = counted(len(result.message.objects), "object")
            progress.update(outputs.num_frames + skips.num_skipped, shown)
            unmatched |= {selection.prompt_id for selection in result.selections if not selection.rows}
        if skips.num_skipped:
            progress.update(outputs.num_frames + skips.num_skipped, shown)  # the last images may be skipped ones
        progress.close()
        if not outputs.num_frames:
            raise skips.first or DataError(f"{job.source} has no frames")
    for report in pipeline.tier_reports:
        print(describe_tier(report))
    counts = f"{counted(outputs.num_frames, 'frame')}, {counted(outputs.num_instances, 'instance')}{skips.summary()}"
    print(f"{counts} -> {', '.join(map(str, outputs.files()))}")
    if isinstance(source, MendsTimes) and source.mended:
        print(describe_mended(source.mended))
    for prompt in job.prompts:
        if prompt.prompt_id in unmatched and not isinstance(prompt, EverythingPrompt):
            print(f"{prompt.prompt_id}: no matching object{' in some frames' if outputs.num_frames > 1 else ''}")
    return 2 if args.strict and skips.num_skipped else 0
