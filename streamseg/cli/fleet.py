"""`streamseg fleet`: run the cameras of a configuration on many workers, with one address for all messages."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.errors import ConfigError, DataError, counted, reason_of

if TYPE_CHECKING:
    from streamseg.config import FleetConfig
    from streamseg.fleet.link import RemoteWorker
    from streamseg.fleet.session import FleetSession
    from streamseg.fleet.status import FleetStatus
    from streamseg.fleet.workers import PlannedWorker

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `fleet` to the command line."""
    from streamseg.cli.fleet_simulation import add_simulation_arguments

    parser = subparsers.add_parser(
        "fleet",
        help="run many cameras on many workers: processes, or machines of a Ray cluster",
        description="Place the cameras of a configuration on workers, each with its own network, and publish the"
        " messages of all at one address. Cameras of a lost worker move to others. SIGHUP reads the configuration"
        " again. Without --local, the workers are actors of a Ray cluster.",
    )
    parser.add_argument("config", metavar="CONFIG.yaml", help="workers, cameras and sections of a run: docs/fleet.md")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="sets",
        metavar="KEY=VALUE",
        help="override a setting, e.g. placement.cost_ms=20; repeatable",
    )
    parser.add_argument("--local", action="store_true", help="workers are processes of this machine, without Ray")
    parser.add_argument("--duration", type=float, default=None, metavar="SECONDS", help="stop after this time")
    parser.add_argument(
        "--status-file",
        metavar="FILE",
        help="write the last state of all workers and cameras as JSON at the end, with measured costs for --costs",
    )
    add_simulation_arguments(parser)
    parser.set_defaults(command=run, is_service=True)


def run(args: argparse.Namespace) -> int:
    """Run until every camera has ended, or until Ctrl-C; the last line on standard output holds the totals."""
    from streamseg.cli.fleet_simulation import run_simulation
    from streamseg.cli.hangup_reload import HangupReload
    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.terminal import STATUS_LINE_SECONDS, LiveLine
    from streamseg.fleet.session import open_fleet

    if args.duration is not None and not args.duration > 0:
        raise ConfigError(f"--duration must be more than 0 seconds, got {args.duration:g}")
    config = _load(args)
    if args.simulate:
        return run_simulation(config, args)
    fetch_named(config.segmentation.weights)
    status: FleetStatus | None = None
    with (
        LiveLine(redraw_seconds=0.5, line_seconds=STATUS_LINE_SECONDS) as line,
        _workers(config, args) as workers,
        open_fleet(config, workers) as fleet,
    ):
        print(f"messages at {fleet.endpoint}", flush=True)
        if fleet.control_endpoint is not None:
            print(f"control at {fleet.control_endpoint}", flush=True)

        def show(newest: FleetStatus) -> None:
            nonlocal status
            status = newest
            reloader.poll()
            if line.is_due():
                line.show(str(newest))

        with HangupReload(lambda: apply(fleet, _load(args))) as reloader:
            try:
                fleet.controller.run(show, duration_seconds=args.duration)
            finally:
                line.close()
                if status is not None:
                    for text in summary_lines(status):
                        print(text, flush=True)
                    if args.status_file is not None:
                        _write_status(Path(args.status_file), status)
    return 0


def apply(fleet: FleetSession, config: FleetConfig) -> list[str]:
    """Apply a configuration that was read again to a fleet in progress, and return one text per change."""
    from streamseg.cli.reload import change_prompts

    before = fleet.controller.config.prompts
    changes = fleet.controller.apply(config)
    return [*changes, *change_prompts(fleet.operations, before, config.prompts)]


def summary_lines(status: FleetStatus) -> list[str]:
    """Return the totals of a fleet, one line per camera and one for all."""
    lines = []
    for camera in status.cameras:
        report = camera.report
        counts = (
            "" if report is None else f", {counted(report.num_frames, 'frame')}, {counted(report.num_drops, 'drop')}"
        )
        error = camera.refusal or (report.error if report is not None else None)
        where = f" on {camera.worker}" if camera.worker is not None else ""
        lines.append(f"{camera.name}: {camera.state}{where}{counts}{f' ({error})' if error else ''}")
    machines = f"{counted(len(status.cameras), 'camera')}, {counted(len(status.workers), 'worker')}"
    return [*lines, f"{counted(status.num_frames, 'frame')}, {machines}"]


@contextlib.contextmanager
def _workers(
    config: FleetConfig, args: argparse.Namespace
) -> Iterator[Mapping[PlannedWorker, Callable[[], RemoteWorker]]]:
    """Return the functions that create the workers, on this machine or on a Ray cluster, which is joined."""
    from streamseg.cli.fleet_worker import create_worker
    from streamseg.cli.logs import log_level

    log = (log_level(args), args.log_format)
    if args.local:
        from streamseg.fleet.local import local_workers
        from streamseg.fleet.session import planned_local_workers

        yield local_workers(config, planned_local_workers(config), create_worker, *log)
        return
    from streamseg.fleet.ray_cluster import check_reachable, joined_cluster, machines, ray_workers
    from streamseg.fleet.workers import plan_workers

    with joined_cluster(config.ray_address):
        found = machines()
        check_reachable(config, found)
        yield ray_workers(config, plan_workers(config, found), create_worker, *log)


def _write_status(path: Path, status: FleetStatus) -> None:
    try:
        path.write_text(json.dumps(status.as_json(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write the status to {path}: {reason_of(error)}") from error


def _load(args: argparse.Namespace) -> FleetConfig:
    from streamseg.config import load_fleet_config

    return load_fleet_config(args.config, sets=args.sets)
