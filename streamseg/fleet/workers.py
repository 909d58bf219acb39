"""The workers of a configuration: names and numbers, from the resources of the machines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamseg.config import FleetConfig, WorkerConfig
from streamseg.errors import ConfigError
from streamseg.fleet.placement import Worker

__all__ = ["Machine", "PlannedWorker", "plan_workers", "share_gpus"]


@dataclass(frozen=True)
class Machine:
    """Resources of one machine."""

    host: str
    cpus: float
    gpus: int


@dataclass(frozen=True)
class PlannedWorker:
    """A worker to start."""

    name: str
    section: WorkerConfig
    gpu_ids: tuple[int, ...] | None = None
    """GPUs of a local worker; none: no GPU; None: Ray chooses."""

    @property
    def placement(self) -> Worker:
        """The worker as `placement.place` needs it."""
        return Worker(self.name, self.section.speed, self.section.max_load)


def plan_workers(config: FleetConfig, machines: Sequence[Machine]) -> list[PlannedWorker]:
    """Return the workers of all sections, in order.

    A fixed number is not limited by the machines: Ray waits for machines that come later.

    Raises:
        ConfigError: `auto` finds no room for any worker.
    """
    workers = []
    for section in config.workers:
        count = section.count if section.count != "auto" else _fitting(section, machines)
        if not count:
            needs = f"{section.gpus:g} GPUs" if section.gpus else f"{section.cpus:g} CPU cores"
            raise ConfigError(
                f"workers {section.name}: no machine has {needs}; give a number as count, or less per worker"
            )
        names = [section.name] if section.count == 1 else [f"{section.name}{number}" for number in range(count)]
        workers += [PlannedWorker(name, section) for name in names]
    return workers


def share_gpus(workers: Sequence[PlannedWorker], num_gpus: int) -> list[PlannedWorker]:
    """Return local workers with their GPUs: fractions share one GPU as long as they fit.

    Raises:
        ConfigError: there are too few GPUs.
    """
    free = [1.0] * num_gpus
    placed = []
    for worker in workers:
        gpus = worker.section.gpus
        if not gpus:
            placed.append(PlannedWorker(worker.name, worker.section, ()))
            continue
        each, count = min(gpus, 1.0), max(int(gpus), 1)
        chosen = [number for number, rest in enumerate(free) if rest >= each - 1e-9][:count]
        if len(chosen) < count:
            raise ConfigError(
                f"worker {worker.name} needs {gpus:g} GPUs, but this machine has {num_gpus}, shared by the workers"
                " before it; lower gpus or count"
            )
        for number in chosen:
            free[number] -= each
        placed.append(PlannedWorker(worker.name, worker.section, tuple(chosen)))
    return placed


def _fitting(section: WorkerConfig, machines: Sequence[Machine]) -> int:
    """Return how many workers of a section the machines have room for, if it is the only one."""
    hosts = [machine for machine in machines if section.host in (None, machine.host)]
    if section.gpus:
        # Fractions do not add up across GPUs.
        per_gpu = int(1 / section.gpus + 1e-9) if section.gpus <= 1 else 1
        units = [machine.gpus if section.gpus <= 1 else int(machine.gpus // section.gpus) for machine in hosts]
        return sum(units) * per_gpu
    return sum(int(machine.cpus // section.cpus) for machine in hosts)
