"""`streamseg demo`: a complete run on the rendered scene, with the page and a subscriber in another process."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from streamseg.cli.logs import print_error
from streamseg.cli.run import open_viewer, show_session
from streamseg.cli.run_arguments import add_config_arguments, config_from_arguments
from streamseg.errors import ConfigError, counted

__all__ = ["Received", "add_parser", "read_received", "run"]

DRAIN_SECONDS = 3.0
"""Time for the subscriber to receive the last messages."""
GRACE_SECONDS = 10.0
"""Time for it to end then, and silence after which it ends by itself: a busy machine may be silent for seconds."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `demo` to the command line."""
    parser = subparsers.add_parser(
        "demo",
        help="run everything on the rendered scene; needs no camera and no files",
        description="Segment a rendered scene live, track its objects, publish them, and receive them in a subscriber"
        " in another process. Print the address of a page that shows the run. Write demo.mp4, the recorded video, and"
        " demo.jsonl, the received messages.",
    )
    add_config_arguments(parser)
    parser.add_argument("--seconds", type=float, default=15.0, help="duration (default %(default)s)")
    parser.add_argument(
        "--view-port", type=int, default=0, metavar="PORT", help="port of the page (default %(default)s: a free port)"
    )
    parser.add_argument("--no-view", action="store_true", help="do not serve the page")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results (default %(default)s)")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; exit code 1 if the subscriber received nothing."""
    from streamseg.cli.modes import open_mode
    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.recording import OverlayVideos
    from streamseg.cli.terminal import StatusLine, summary_lines
    from streamseg.publish.jpeg import SharedJpeg
    from streamseg.runtime.session import open_runtime

    if not args.seconds > 0:
        raise ConfigError(f"--seconds must be more than 0, got {args.seconds:g}")
    # Free ports, so that the demo runs beside any other run.
    ports = ["publish.endpoint=tcp://127.0.0.1:0", "publish.control_endpoint=tcp://127.0.0.1:0"]
    with_page = not args.no_view
    if with_page and importlib.util.find_spec("aiohttp") is None:
        print("no page, because it needs aiohttp, which is not installed; run: pip install 'streamseg[viewer]'")
        with_page = False
    view = [f"viewer.enabled={str(with_page).lower()}", f"viewer.port={args.view_port}"]
    config = config_from_arguments(args, defaults=[*ports, *view])
    if config.publish.endpoint is None:
        raise ConfigError("the demo needs an endpoint for its subscriber; publish.endpoint must not be null")
    if config.publish.curve.secret_key is not None:
        raise ConfigError("the demo's own subscriber has no key; use streamseg run, or remove publish.curve")
    fetch_named(config.segmentation.weights)
    received_path = args.out / "demo.jsonl"
    status = StatusLine()
    with ExitStack() as stack:
        encode_image = SharedJpeg(config.publish.jpeg_quality)
        viewer = stack.enter_context(open_viewer(config, encode_image))
        video = OverlayVideos(args.out / "demo.mp4", [source.id for source in config.named_sources()])
        session = stack.enter_context(
            open_runtime(
                config,
                open_mode(config.mode),
                [video] if viewer is None else [viewer, video],
                encode_image=encode_image,
            )
        )
        assert session.endpoint is not None
        print(f"publishing at {session.endpoint}, control at {session.control_endpoint}, for {args.seconds:g} s")
        if viewer is not None:
            show_session(viewer, session)
        with _subscriber(session.endpoint, received_path):
            try:
                session.runtime.run(status.update, duration_seconds=args.seconds)
            finally:
                status.close()
    received = read_received(received_path)
    print(f"recorded: {', '.join(map(str, video.paths))}")
    print(f"a subscriber in another process received {received} -> {received_path}")
    for line in summary_lines(session.runtime.stats()):
        print(line)
    if not received.num_messages:
        print_error("the subscriber received nothing", getattr(args, "log_format", "text"))
        return 1
    return 0


@contextmanager
def _subscriber(endpoint: str, path: Path) -> Iterator[None]:
    """Run a subscriber in another process that writes one line of JSON per message to a file."""
    command = [sys.executable, "-m", "streamseg.cli.main", "subscribe", endpoint, "--json"]
    with path.open("w", encoding="utf-8") as file:
        process = subprocess.Popen([*command, "--timeout", f"{GRACE_SECONDS:g}"], stdout=file, stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            with suppress(subprocess.TimeoutExpired):
                process.wait(DRAIN_SECONDS)
            process.terminate()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Received:
    """Totals of what a subscriber received."""

    num_messages: int
    num_masks: int
    num_identities: int

    def __str__(self) -> str:
        counts = f"{counted(self.num_messages, 'message')} with {counted(self.num_masks, 'mask')}"
        return f"{counts} of {counted(self.num_identities, 'identity', 'identities')}"


def read_received(path: Path) -> Received:
    """Count the messages written by `streamseg subscribe --json`; a truncated last line is skipped."""
    num_messages = num_masks = 0
    identities = set()
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        objects = json.loads(line)["objects"]
        num_messages += 1
        num_masks += len(objects)
        identities |= {one["track_id"] for one in objects if one["track_id"] >= 0}
    return Received(num_messages, num_masks, len(identities))
