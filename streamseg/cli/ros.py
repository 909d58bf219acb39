"""`streamseg ros`: a ROS 2 node."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from streamseg.cli.run_arguments import add_config_arguments, config_from_arguments
from streamseg.errors import ConfigError

if TYPE_CHECKING:
    from streamseg.config import Config

__all__ = ["add_parser", "run"]

NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `ros` to the command line."""
    parser = subparsers.add_parser(
        "ros",
        help="run as a ROS 2 node: images in, masks, detections, prompts and targets out",
        description="Segment ROS 2 image topics (ros:/camera/image_raw/compressed) and other sources, and publish the"
        " results as ROS 2 topics. Requires rclpy: source /opt/ros/$ROS_DISTRO/setup.bash first.",
    )
    add_config_arguments(parser)
    parser.add_argument("--node", default="streamseg", metavar="NAME", help="name of the node (default %(default)s)")
    parser.add_argument("--publish", action="store_true", help="also open the configured ZeroMQ endpoints")
    parser.add_argument("--duration", type=float, default=None, metavar="SECONDS", help="stop after this time")
    parser.add_argument(
        "--ros-args",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="…",
        help="arguments of ROS, last: remappings (-r from:=to), parameters (-p name:=value)",
    )
    parser.set_defaults(command=run, is_service=True)


def run(args: argparse.Namespace) -> int:
    """Run until the sources end or the node is stopped."""
    if args.duration is not None and not args.duration > 0:
        raise ConfigError(f"--duration must be more than 0 seconds, got {args.duration:g}")
    if not NAME.fullmatch(args.node):
        raise ConfigError(f"--node must be letters, digits and _, got {args.node[:40]!r}")
    endpoints = ("publish.endpoint", "publish.single_endpoint", "publish.control_endpoint")
    sets = [] if args.publish else [f"{key}=null" for key in endpoints]
    config = config_from_arguments(args, overrides=sets)
    ros_args = ["--ros-args", *args.ros_args] if args.ros_args else []
    return _run_node(config, args.node, ros_args, args.duration)


def _run_node(config: Config, name: str, ros_args: list[str], duration_seconds: float | None) -> int:
    from streamseg.bridges.ros_api import RclpyApi
    from streamseg.bridges.ros_node import RosNode
    from streamseg.cli.modes import open_mode
    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.run_table import RunTable
    from streamseg.cli.terminal import summary_lines
    from streamseg.publish.jpeg import SharedJpeg
    from streamseg.runtime.session import open_runtime

    fetch_named(config.segmentation.weights)
    status = RunTable()
    encode_image = SharedJpeg(config.publish.jpeg_quality)
    with RclpyApi(name, ros_args) as api:
        node = RosNode(api, encode_image)
        with open_runtime(
            config,
            open_mode(config.mode),
            [node],
            open_section=node.open_source,
            encode_image=encode_image,
        ) as session:
            node.attach(session.operations, session.runtime.pipeline.name_frame)
            api.start()
            try:
                session.runtime.run(status.update, interval_seconds=1.0, duration_seconds=duration_seconds)
            finally:
                status.close()
                for line in summary_lines(session.runtime.stats()):
                    print(line, flush=True)
    return 0
