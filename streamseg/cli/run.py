"""`streamseg run`: live video in, every object out, until it ends or Ctrl-C."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import gc
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from streamseg.errors import ConfigError, StreamsegError

if TYPE_CHECKING:
    from streamseg.cli.window.window import Window
    from streamseg.config import Config
    from streamseg.runtime import RunStats, Sink
    from streamseg.runtime.session import Session
    from streamseg.viewer import Viewer

__all__ = ["add_parser", "open_viewer", "run", "run_config", "show_session"]

CONFIGURED_PORT = -1
"""Stands for `--view` without a port."""
STATUS_SECONDS = 1.0
"""Between two looks at the figures."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `run`."""
    parser = subparsers.add_parser(
        "run",
        help="segment live video and publish it",
        description="Captures, segments, follows and publishes until every source has ended, or Ctrl-C.",
    )
    add_config_arguments(parser)
    parser.add_argument("--duration", type=float, default=None, metavar="SECONDS", help="stop after so long")
    parser.add_argument("--no-publish", action="store_true", help="open no endpoint")
    parser.add_argument(
        "--view",
        nargs="?",
        type=_port,
        const=CONFIGURED_PORT,
        metavar="PORT",
        help="serve a page that shows the run in a browser, at viewer.port or PORT; 0: the system chooses",
    )
    parser.add_argument("--out", metavar="VIDEO.mp4", help="record the pictures with their objects")
    parser.add_argument("--show", action="store_true", help="a window per source; click an object to select it")
    parser.set_defaults(command=run)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """What makes a configuration: a file, sources, settings."""
    parser.add_argument("config", nargs="?", metavar="CONFIG.yaml", help="without it: the defaults")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="S",
        help="scene, a camera's number, a path or a URL; repeatable, in the place of the file's sources",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="sets",
        metavar="KEY=VALUE",
        help="e.g. segmentation.conf=0.4; repeatable",
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no port from 0 to 65535; a configuration is written before --view"
        )
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Run until the end; the last line on standard output holds the figures."""
    from streamseg.config import load_config

    if args.duration is not None and not args.duration > 0:
        raise ConfigError(f"--duration must be more than 0 seconds, got {args.duration:g}")
    sets = list(args.sets)
    if args.no_publish:
        sets += ["publish.endpoint=null", "publish.single_endpoint=null", "publish.control_endpoint=null"]
    if args.view is not None:
        sets += ["viewer.enabled=true", *([f"viewer.port={args.view}"] if args.view != CONFIGURED_PORT else [])]
    config = load_config(args.config, sets=sets, sources=args.source)
    if args.out is not None:
        config = config.model_copy(update={"output": config.output.model_copy(update={"video": args.out})})
    if args.show:
        from streamseg.cli.window.screen import require_display

        require_display()
    run_config(config, duration_seconds=args.duration, show=args.show)
    return 0


def run_config(config: Config, *, duration_seconds: float | None = None, show: bool = False) -> None:
    """Run a configuration with a status line, and print what it came to, also after Ctrl-C.

    Args:
        config: the whole of a run.
        duration_seconds: stop after so long; None: no limit.
        show: with a window per source; there must be a display, see `require_display`.

    Raises:
        StreamsegError: it cannot start, or a part of it failed.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after everything was flushed.
    """
    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.recording import VideoSink
    from streamseg.cli.status_line import StatusLine, summary_lines
    from streamseg.runtime.session import open_runtime

    # Else the interpreter walks every object of torch at its end, which takes longer than ending the run.
    atexit.register(gc.freeze)
    fetch_named(config.segmentation.weights)
    status = StatusLine()
    sinks: list[Sink] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(_sigterm_as_ctrl_c())
        viewer = stack.enter_context(open_viewer(config))
        if viewer is not None:
            sinks.append(viewer)
        if config.output.video is not None:
            sinks.append(VideoSink(config.output.video, [source.id for source in config.named_sources()]))
        window = stack.enter_context(open_window()) if show else None
        if window is not None:
            sinks.append(window.latest)
        session = stack.enter_context(open_runtime(config, sinks))
        for what, endpoint in (
            ("messages", session.endpoint),
            ("single-part messages", session.single_endpoint),
            ("control", session.control_endpoint),
        ):
            if endpoint is not None:
                print(f"{what} at {endpoint}", flush=True)
        if viewer is not None:
            show_session(viewer, session)
        on_figures: Callable[[RunStats], None] = status.update
        interval_seconds = STATUS_SECONDS
        if window is not None:
            window.attach(session.operations, session.runtime.stop)
            on_figures, interval_seconds = window.beside(status.update, STATUS_SECONDS), window.refresh_seconds
        try:
            session.runtime.run(on_figures, interval_seconds=interval_seconds, duration_seconds=duration_seconds)
        finally:
            status.close()
            figures = session.runtime.stats()
            # A run that failed before its first frame has nothing to tell but its error.
            if figures.num_frames or not isinstance(sys.exc_info()[1], StreamsegError):
                for line in summary_lines(figures):
                    print(line, flush=True)


@contextlib.contextmanager
def open_window() -> Iterator[Window]:
    """Windows for a run's pictures, closed in the end; there must be a display."""
    from streamseg.cli.window.screen import OpenCVScreen
    from streamseg.cli.window.window import Window

    with contextlib.closing(Window(OpenCVScreen())) as window:
        yield window


@contextlib.contextmanager
def open_viewer(config: Config) -> Iterator[Viewer | None]:
    """The page's server where the configuration wants one, closed in the end.

    Raises:
        ConfigError: aiohttp is not installed, or the token in the environment is none.
        PublishError: the address cannot be listened at.
    """
    if not config.viewer.enabled:
        yield None
        return
    from streamseg.viewer import Viewer

    with Viewer.from_config(config.viewer, [source.id for source in config.named_sources()]) as viewer:
        yield viewer


def show_session(viewer: Viewer, session: Session) -> None:
    """Let the page see and steer a session, and say where it is."""
    from streamseg.viewer import Run

    viewer.attach(Run.of(session))
    print(f"page at {viewer.url}", flush=True)


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Let a service manager's SIGTERM flush as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
