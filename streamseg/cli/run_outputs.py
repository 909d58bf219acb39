"""Options of `run` that choose its outputs, as settings of the configuration."""

from __future__ import annotations

import argparse
import json

from streamseg.cli.effect_options import add_effect_arguments

__all__ = ["add_output_arguments", "output_sets"]

FOXGLOVE_ENDPOINT = "127.0.0.1:8766"
"""Default of `--foxglove`: not Foxglove's own 8765, which is that of the page."""
RERUN_ADDRESS = "rerun+http://127.0.0.1:9876/proxy"
"""Default of `--rerun`: where the rerun viewer listens."""
CONFIGURED_PORT = -1
"""Value of `--view` without a port."""
SETTINGS = {
    "metrics": "metrics.endpoint",
    "record": "output.recording",
    "mcap": "output.mcap",
    "mqtt": "mqtt.address",
    "foxglove": "foxglove.endpoint",
    "rerun": "output.rerun",
    "collect": "collect.folder",
    "effect": "effect.kind",
    "effect_background": "effect.background",
    "webcam": "output.webcam",
    "imagezmq": "publish.imagezmq",
}
"""The setting that an option with a value stands for."""


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the outputs of a run to its arguments."""
    parser.add_argument("--no-publish", action="store_true", help="do not publish; open no endpoint")
    parser.add_argument(
        "--view",
        nargs="?",
        type=_port,
        const=CONFIGURED_PORT,
        metavar="PORT",
        help="serve a page that shows the run in a browser, at viewer.port or PORT (0: a free port)",
    )
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="serve /metrics for Prometheus, /healthz and /readyz, e.g. at 127.0.0.1:9464",
    )
    parser.add_argument(
        "--out", metavar="VIDEO", help="record the frames with their objects: .mp4, .mov, .mkv or .webm"
    )
    add_effect_arguments(parser, "blur the background of the prompted objects, replace it, or dim it")
    parser.add_argument(
        "--webcam",
        metavar="DEVICE",
        help="show the first source on a virtual webcam, such as /dev/video9, for video calls (docs/effects.md)",
    )
    parser.add_argument(
        "--imagezmq",
        metavar="ENDPOINT",
        help="send the images to readers of imagezmq, such as at tcp://127.0.0.1:5557",
    )
    parser.add_argument(
        "--record",
        metavar="FOLDER",
        help="record images and messages, in segments below FOLDER; replay one with: run FOLDER/RUN/SOURCE",
    )
    parser.add_argument(
        "--mcap",
        metavar="FILE",
        help="record images, masks, detections and prompts as ROS 2 messages in an MCAP file, for Foxglove and rosbag2",
    )
    parser.add_argument(
        "--collect",
        metavar="FOLDER",
        help="save images of lost, uncertain and corrected objects as a COCO data set, for labelling and training",
    )
    parser.add_argument(
        "--mqtt",
        metavar="ADDRESS",
        help="report the prompts' objects to an MQTT broker, with Home Assistant's discovery: mqtt://HOST[:PORT]",
    )
    parser.add_argument(
        "--foxglove",
        nargs="?",
        const=FOXGLOVE_ENDPOINT,
        metavar="HOST:PORT",
        help=f"serve images, masks, detections and prompts to Foxglove (default {FOXGLOVE_ENDPOINT})",
    )
    parser.add_argument(
        "--rerun",
        nargs="?",
        const=RERUN_ADDRESS,
        metavar="FILE.rrd|ADDRESS",
        help=f"log images, masks, boxes and ages for rerun, to a file or a running viewer (default {RERUN_ADDRESS})",
    )


def output_sets(args: argparse.Namespace) -> list[str]:
    """Return the given options as settings `key.path=value`, except `--out`."""
    sets = []
    if args.no_publish:
        keys = ("endpoint", "single_endpoint", "control_endpoint", "imagezmq")
        sets += [f"publish.{key}=null" for key in keys]
    if args.view is not None:
        sets += ["viewer.enabled=true", *([f"viewer.port={args.view}"] if args.view != CONFIGURED_PORT else [])]
    given = ((key, getattr(args, option)) for option, key in SETTINGS.items())
    # JSON is YAML, and quotes what has a meaning there.
    return sets + [f"{key}={json.dumps(value)}" for key, value in given if value is not None]


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535; put inputs before --view")
    return int(text)
