"""`streamseg label-studio`: serve Label Studio as a backend that turns clicks and rectangles into masks."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.cli.segment import add_segmentation_arguments, segmentation_config
from streamseg.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamseg.pipeline import Pipeline
    from streamseg.structures.arrays import ImageArray
    from streamseg.structures.message import MessageObject
    from streamseg.structures.prompt import Prompt

__all__ = ["ObjectSelector", "add_parser", "decode_limited", "run"]

ENDPOINT = "127.0.0.1:9090"
"""Default address: the port that Label Studio's own backends use."""
TOKEN = "LABEL_STUDIO_API_KEY"
"""Environment variable with Label Studio's access token, by the name that its SDK uses."""

MAX_PIXELS = 100_000_000
"""Maximum number of pixels of an image."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `label-studio` to the command line."""
    parser = subparsers.add_parser(
        "label-studio",
        help="serve Label Studio: clicks and rectangles become masks",
        description="Serve the interface of a Label Studio backend: Settings, Model, Connect Model, with this address."
        " Images are read below --root, or downloaded from the Label Studio of --from with the access token in"
        f" {TOKEN}; nothing else is read.",
    )
    parser.add_argument(
        "--root", type=Path, metavar="FOLDER", help="folder of Label Studio's local storage, or its media folder"
    )
    parser.add_argument("--from", dest="origin", metavar="URL", help="Label Studio, such as http://localhost:8080")
    parser.add_argument(
        "--listen", default=ENDPOINT, metavar="HOST:PORT", help="address to listen on (default %(default)s)"
    )
    parser.add_argument(
        "--allow-public", action="store_true", help="allow a host that other machines can reach, without encryption"
    )
    add_segmentation_arguments(parser, {})
    parser.set_defaults(command=run, is_service=True)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from streamseg.cli.named_weights import fetch_named
    from streamseg.config.address import split_host_and_port
    from streamseg.label_studio.images import ImagePlaces, check_origin
    from streamseg.label_studio.server import Backend
    from streamseg.label_studio.serving import run_server
    from streamseg.publish.endpoints import is_loopback
    from streamseg.segmentation import Segmenter

    host, port = split_host_and_port(args.listen)
    if not is_loopback(host) and not args.allow_public:
        raise ConfigError(f"--listen {args.listen} can be reached by other machines; add --allow-public to permit it")
    places = ImagePlaces(args.root, None if args.origin is None else check_origin(args.origin))
    config = segmentation_config(args, {})
    fetch_named(config.weights)
    with Segmenter.from_config(config) as segmenter:
        backend = Backend(
            ObjectSelector.of(segmenter),
            places,
            decode=decode_limited,
            model_version=f"streamseg {config.weights}",
            token=os.environ.get(TOKEN),
            is_local=is_loopback(host),
        )
        run_server(backend.application(), host, port, lambda url: print(f"Label Studio backend at {url}", flush=True))
    return 0


def decode_limited(content: bytes, name: str) -> ImageArray:
    """Decode the content of an image file, unless its pixels would take too much memory.

    Raises:
        DataError: it has more than `MAX_PIXELS` pixels.
        SourceError: it is no readable image.
    """
    import io

    from streamseg.imaging import decode_image
    from streamseg.imaging.opening import UnknownModeError, open_pillow

    try:
        width, height = open_pillow(io.BytesIO(content), name).size
    except UnknownModeError:
        width, height = 0, 0  # formats that OpenCV reads are not compressed to a thousandth
    if width * height > MAX_PIXELS:
        raise DataError(f"{name} has {width}x{height} pixels; at most {MAX_PIXELS} are allowed")
    return decode_image(content, name)


class ObjectSelector:
    """Selects the objects of single images with a pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    @classmethod
    def of(cls, segmenter: object) -> ObjectSelector:
        """Return a selector with a segmenter, see `pipeline.SegmentFunction`."""
        from streamseg.config import TrackingConfig
        from streamseg.pipeline import Pipeline

        return cls(Pipeline(segmenter, tracking=TrackingConfig(enabled=False)))  # type: ignore[arg-type]

    def __call__(self, image: ImageArray, prompt: Prompt) -> Sequence[MessageObject]:
        """Return the object that matches a prompt, or all of them; see `label_studio.server.ImageObjects`.

        Raises:
            DataError: the prompt lies outside the image.
        """
        import time

        from streamseg.structures.frame import Frame
        from streamseg.structures.prompt import EverythingPrompt
        from streamseg.structures.prompt_location import check_prompts

        check_prompts([prompt], (image.shape[0], image.shape[1]))
        self._pipeline.set_prompts([prompt])
        frame = Frame(image, "image", 0, None, time.time_ns(), "arrival", time.monotonic_ns())
        [message] = self._pipeline([frame])
        self._pipeline.end_source("image")
        objects = message.of(prompt.prompt_id)
        return objects if isinstance(prompt, EverythingPrompt) else objects[:1]
