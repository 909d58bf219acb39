"""`streamseg run`: segment and publish live video until the sources end, or until Ctrl-C."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from streamseg.cli.run_arguments import add_config_arguments, config_from_arguments
from streamseg.cli.run_outputs import add_output_arguments, output_sets
from streamseg.errors import ConfigError, StreamsegError

if TYPE_CHECKING:
    from streamseg.bridges.foxglove import FoxgloveServer
    from streamseg.bridges.rerun import RerunLog
    from streamseg.cli.window.window import Window
    from streamseg.config import Config
    from streamseg.metrics import MetricsServer
    from streamseg.publish.jpeg import EncodeImage
    from streamseg.runtime import RunStats, Sink, SinkFactory
    from streamseg.runtime.session import Session
    from streamseg.viewer import Viewer

__all__ = ["add_parser", "open_viewer", "run", "run_config", "show_session"]

STATUS_SECONDS = 1.0
"""Time between two updates of the status line."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `run` to the command line."""
    parser = subparsers.add_parser(
        "run",
        help="segment live video and publish it",
        description="Capture, segment, track and publish until every source has ended, or until Ctrl-C.",
    )
    add_config_arguments(parser)
    parser.add_argument("--duration", type=float, default=None, metavar="SECONDS", help="stop after this time")
    add_output_arguments(parser)
    parser.add_argument(
        "--exit-on-failure",
        action="store_true",
        help="let a camera or stream that cannot be opened fail, and exit with code 2 if no source is left"
        " (default: retry it until the run is stopped)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with code 2 if an image of a folder or pattern was skipped"
    )
    parser.add_argument("--show", action="store_true", help="open a window per source; click an object to select it")
    parser.set_defaults(command=run, is_service=True)


def run(args: argparse.Namespace) -> int:
    """Run until the end; the last line on standard output holds the totals."""
    from streamseg.cli.skips import num_skipped

    if args.duration is not None and not args.duration > 0:
        raise ConfigError(f"--duration must be more than 0 seconds, got {args.duration:g}")
    config = _config(args)
    if args.show:
        from streamseg.cli.window.screen import require_display

        require_display()
    stats = run_config(config, duration_seconds=args.duration, show=args.show, load=partial(_config, args))
    return 2 if args.strict and num_skipped(stats) else 0


def _config(args: argparse.Namespace) -> Config:
    """Return the configuration that the arguments describe, as its file is now."""
    sets = output_sets(args)
    if args.exit_on_failure:
        sets.append("exit_on_failure=true")
    config = config_from_arguments(args, overrides=sets)
    if args.out is not None:
        config = config.model_copy(update={"output": config.output.model_copy(update={"video": args.out})})
    return config


def run_config(
    config: Config,
    *,
    duration_seconds: float | None = None,
    show: bool = False,
    load: Callable[[], Config] | None = None,
) -> RunStats:
    """Run a configuration with a status line, and print its summary, also after Ctrl-C; return the summary's figures.

    Args:
        config: configuration of the run.
        duration_seconds: stop after this time; None for no limit.
        show: open a window per source. Requires a display, see `require_display`.
        load: reads the configuration again, which SIGHUP requests; None: SIGHUP ends the run.

    Raises:
        StreamsegError: the run cannot start, or a part of it failed.
        KeyboardInterrupt: Ctrl-C or, as `Terminated`, SIGTERM; after everything was flushed.
    """
    from streamseg.cli.free_memory import FreeMemory, keep_large_blocks, share_one_heap, system_trim
    from streamseg.cli.modes import open_mode
    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.recording import OverlayVideos
    from streamseg.cli.reload import Reloader
    from streamseg.cli.run_table import RunTable
    from streamseg.cli.terminal import summary_lines
    from streamseg.publish.jpeg import SharedJpeg
    from streamseg.runtime.session import open_runtime

    share_one_heap()
    keep_large_blocks()
    # Otherwise the interpreter traverses every object of torch at exit, which takes longer than ending the run.
    atexit.register(gc.freeze)
    fetch_named(config.segmentation.weights)
    status = RunTable()
    sinks: list[Sink | SinkFactory] = []
    with contextlib.ExitStack() as stack:
        metrics = stack.enter_context(open_metrics(config))
        encode_image = SharedJpeg(config.publish.jpeg_quality)
        viewer = stack.enter_context(open_viewer(config, encode_image))
        if viewer is not None:
            sinks.append(viewer)
        if config.output.video is not None:
            sinks.append(OverlayVideos(config.output.video, [source.id for source in config.named_sources()]))
        foxglove = open_foxglove(config, encode_image)
        if foxglove is not None:
            stack.callback(foxglove.close)
            sinks.append(foxglove)
            print(f"Foxglove at {foxglove.url}", flush=True)
        if config.output.rerun is not None:
            sinks.append(open_rerun(config.output.rerun, encode_image))
        window = stack.enter_context(open_window()) if show else None
        if window is not None:
            sinks.append(window.latest)
        session = stack.enter_context(open_runtime(config, open_mode(config.mode), sinks, encode_image=encode_image))
        for name, endpoint in (
            ("messages", session.endpoint),
            ("single-part messages", session.single_endpoint),
            ("control", session.control_endpoint),
        ):
            if endpoint is not None:
                print(f"{name} at {endpoint}", flush=True)
        if metrics is not None:
            metrics.attach(session.runtime.stats, session.latencies)
            print(f"metrics at http://{metrics.endpoint}/metrics", flush=True)
        if viewer is not None:
            show_session(viewer, session)
        on_stats: Callable[[RunStats], None] = status.update
        interval_seconds = STATUS_SECONDS
        if window is not None:
            window.attach(session.operations, session.runtime.stop)
            on_stats, interval_seconds = window.beside(status.update, STATUS_SECONDS), window.refresh_seconds
        if load is not None:
            reloader = stack.enter_context(Reloader(session.sources, session.operations, config, load))
            on_stats = reloader.beside(on_stats)
        on_stats = FreeMemory(system_trim()).beside(on_stats)
        # What exists now lives as long as the run: a full collection would traverse it for a tenth of a second.
        gc.freeze()
        try:
            session.runtime.run(on_stats, interval_seconds=interval_seconds, duration_seconds=duration_seconds)
        finally:
            status.close()
            stats = session.runtime.stats()
            # A run that failed before its first frame reports its error only.
            if stats.num_frames or not isinstance(sys.exc_info()[1], StreamsegError):
                for line in summary_lines(stats):
                    print(line, flush=True)
    return stats


@contextlib.contextmanager
def open_window() -> Iterator[Window]:
    """Open the windows of a run, and close them at the end. Requires a display."""
    from streamseg.cli.window.screen import OpenCVScreen
    from streamseg.cli.window.window import Window

    with contextlib.closing(Window(OpenCVScreen())) as window:
        yield window


@contextlib.contextmanager
def open_metrics(config: Config) -> Iterator[MetricsServer | None]:
    """Open the server of the metrics if the configuration has an endpoint for it, and close it at the end.

    Raises:
        ConfigError: prometheus-client is not installed.
        PublishError: the server cannot listen at the endpoint.
    """
    if config.metrics.endpoint is None:
        yield None
        return
    from streamseg.metrics import MetricsServer

    with MetricsServer(config.metrics.endpoint, allow_public=config.metrics.allow_public) as server:
        yield server


def open_foxglove(config: Config, encode_image: EncodeImage) -> FoxgloveServer | None:
    """Open the server for Foxglove if the configuration has an endpoint for it.

    Raises:
        ConfigError: a package is not installed.
        PublishError: the server cannot listen at the endpoint.
    """
    if config.foxglove.endpoint is None:
        return None
    from streamseg.bridges.foxglove import FoxgloveServer

    return FoxgloveServer(config.foxglove.endpoint, encode_image, allow_public=config.foxglove.allow_public)


def open_rerun(target: str, encode_image: EncodeImage) -> RerunLog:
    """Open the log for rerun: a file, or the address of a viewer.

    Raises:
        ConfigError: rerun-sdk is not installed, or the target is neither.
        DataError: the file cannot be written.
    """
    from streamseg.bridges.rerun import RerunLog

    return RerunLog(target, encode_image)


@contextlib.contextmanager
def open_viewer(config: Config, encode_image: EncodeImage) -> Iterator[Viewer | None]:
    """Open the page's server if the configuration enables it, and close it at the end.

    Args:
        config: configuration of the whole run.
        encode_image: encodes the images of `publish.jpeg_quality` for all outputs; the page shares it if its quality is
            the same.

    Raises:
        ConfigError: aiohttp is not installed, or the token in the environment is invalid.
        PublishError: the server cannot listen at the address.
    """
    if not config.viewer.enabled:
        yield None
        return
    from streamseg.viewer import Viewer

    shared = encode_image if config.viewer.jpeg_quality == config.publish.jpeg_quality else None
    with Viewer.from_config(config.viewer, [source.id for source in config.named_sources()], shared) as viewer:
        yield viewer


def show_session(viewer: Viewer, session: Session) -> None:
    """Attach the page to a session, and print its address."""
    from streamseg.viewer import Run

    viewer.attach(Run.from_session(session))
    print(f"page at {viewer.url}", flush=True)
    if viewer.read_url is not None:
        print(f"page for watching only at {viewer.read_url}", flush=True)
