"""`streamseg fleet --simulate`: how many machines a wall of cameras needs, and what happens when some are lost."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.errors import ConfigError, DataError, reason_of

if TYPE_CHECKING:
    from streamseg.config import FleetConfig
    from streamseg.fleet.placement import Camera
    from streamseg.fleet.simulation_result import SimulationResult

__all__ = ["add_simulation_arguments", "run_simulation", "simulated_cameras"]

FAILURE_SECONDS = 20.0
"""How long a lost machine is away."""
COSTS_FORM = "the file of --status-file, with cost_ms and arrived_fps of each camera"


def add_simulation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the simulation."""
    group = parser.add_argument_group("simulation, without starting anything")
    group.add_argument("--simulate", action="store_true", help="simulate the fleet, and print a table")
    group.add_argument("--cameras", type=int, metavar="N", help="number of cameras (default: as configured)")
    group.add_argument(
        "--costs", metavar="FILE", help=f"measured costs: {COSTS_FORM} (default: placement.cost_ms, fps)"
    )
    group.add_argument("--per-host", type=int, default=1, metavar="N", help="workers per machine (default 1)")
    group.add_argument("--hosts", type=int, metavar="N", help="number of machines (default: as many as needed)")
    group.add_argument("--spare-hosts", type=int, default=1, metavar="N", help="more machines than needed (default 1)")
    group.add_argument("--failures", type=int, default=1, metavar="N", help="machines that are lost (default 1)")
    group.add_argument("--seconds", type=float, default=120.0, help="simulated time (default 120)")
    group.add_argument("--json", metavar="FILE", help="write the result as JSON, too")


def run_simulation(config: FleetConfig, args: argparse.Namespace) -> int:
    """Simulate the fleet, and print the result.

    Raises:
        ConfigError: a number is not allowed.
        DataError: the costs cannot be read, or the JSON file cannot be written.
    """
    from streamseg.cli.terminal import Table, print_table
    from streamseg.fleet.placement import Worker
    from streamseg.fleet.simulation import Failure, SimulatedFleet, num_workers_for, simulate

    for name, least in (("cameras", 1), ("per_host", 1), ("hosts", 1), ("spare_hosts", 0), ("failures", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name.replace('_', '-')} must be {least} or more, got {value}")
    if not args.seconds > 0:
        raise ConfigError(f"--seconds must be more than 0, got {args.seconds:g}")
    cameras = simulated_cameras(config, args.cameras, None if args.costs is None else Path(args.costs))
    section = config.workers[0]
    kind = Worker("", section.speed, section.max_load)
    num_workers = num_workers_for(cameras, kind, per_host=args.per_host, num_spare_hosts=args.spare_hosts)
    num_hosts = args.hosts or num_workers // args.per_host
    hosts = {f"h{host:03}w{number}": f"h{host:03}" for host in range(num_hosts) for number in range(args.per_host)}
    if args.failures > num_hosts:
        raise ConfigError(f"--failures must be at most the number of machines, {num_hosts}, got {args.failures}")
    # One after another, in equal intervals.
    failures = [
        Failure(f"h{number:03}", round(args.seconds * (number + 1) / (args.failures + 1)), FAILURE_SECONDS)
        for number in range(args.failures)
    ]
    fleet = SimulatedFleet(
        tuple(cameras),
        tuple(Worker(name, section.speed, section.max_load) for name in hosts),
        hosts,
        heartbeat_seconds=config.heartbeat_seconds,
        lost_seconds=config.lost_seconds,
        overload=config.placement.overload,
    )
    result = simulate(fleet, failures, args.seconds)
    print_table(Table("simulated fleet", ("", "value"), tuple(_rows(result))))
    if args.json is not None:
        try:
            Path(args.json).write_text(json.dumps(result.as_json(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise DataError(f"cannot write {args.json}: {reason_of(error)}") from error
    return 0


def simulated_cameras(config: FleetConfig, number: int | None, costs: Path | None) -> list[Camera]:
    """Return the cameras to simulate: those of the configuration, repeated in order.

    Args:
        config: configuration of the fleet.
        number: number of cameras; None: as configured.
        costs: JSON file with measured costs, repeated in order; None: the expected ones.

    Raises:
        DataError: the file cannot be read, or holds no cost.
    """
    from streamseg.fleet.placement import Camera

    expected = config.placement
    measured = [(expected.cost_ms, expected.fps)] if costs is None else _read_costs(costs)
    sections = config.named_cameras()
    found = []
    for place in range(len(sections) if number is None else number):
        section, (cost_ms, fps) = sections[place % len(sections)], measured[place % len(measured)]
        fps = fps if section.max_fps is None else min(fps, section.max_fps)
        found.append(Camera(f"camera{place:05}", fps, cost_ms))
    return found


def _read_costs(path: Path) -> list[tuple[float, float]]:
    """Return cost in ms and rate in frames per second of each camera that has been measured."""
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        found = [
            (float(camera["cost_ms"]), float(camera["arrived_fps"]))
            for camera in values["cameras"]
            if camera.get("cost_ms") is not None and camera.get("arrived_fps")
        ]
    except OSError as error:
        raise DataError(f"cannot read the costs of {path}: {reason_of(error)}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path} holds no costs; give {COSTS_FORM}") from error
    if not found:
        raise DataError(f"{path} holds no camera that has been measured; give {COSTS_FORM}")
    return found


def _rows(result: SimulationResult) -> list[tuple[str, str]]:
    """Return the rows of the table."""
    values: Any = result.as_json()
    load, frames, place_ms = values["load"], values["frames"], values["place_ms"]
    rows = [
        ("cameras", f"{result.num_cameras}"),
        ("machines, workers", f"{result.num_hosts}, {result.num_workers}"),
        ("work of all cameras, in workers of speed 1", f"{result.work:.1f}"),
        ("load of a worker: least, median, highest", f"{load['min']:.2f}, {load['median']:.2f}, {load['max']:.2f}"),
        ("highest load during failures", f"{load['worst']:.2f}"),
        ("frames processed", f"{frames['processed']} of {frames['offered']} ({frames['share']:.2%})"),
        ("cameras moved from workers that were not lost", f"{result.num_moves}"),
        ("duration of a placement: median, longest", f"{place_ms['median']:.1f}, {place_ms['max']:.1f} ms"),
    ]
    for one in values["failures"]:
        back = "none came back"
        if one["back_max_seconds"] is not None:
            back = f"back after {one['back_median_seconds']:.1f} s, the last after {one['back_max_seconds']:.1f} s"
        missing = f", {one['missing']} missing" if one["missing"] else ""
        rows.append((f"{one['host']} lost at {one['at_seconds']:g} s", f"{one['cameras']} cameras, {back}{missing}"))
    return rows
