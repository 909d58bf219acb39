"""Processes of one run, started by torchrun: one per device, each with its share of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from streamseg.errors import ConfigError

__all__ = ["SINGLE_PROCESS", "Ranks", "join_ranks"]

WAIT = timedelta(minutes=30)
"""Maximum wait for the other processes: the first may be evaluating the network."""


@dataclass(frozen=True)
class Ranks:
    """Rank of this process and number of processes; `count` above 1 requires torch's process group."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """True for the process that logs and writes files."""
        return self.rank == 0

    def share(self, batch_size: int) -> range:
        """Return the positions in each batch that belong to this process.

        Raises:
            ConfigError: the batch cannot be divided evenly.
        """
        if batch_size % self.count:
            raise ConfigError(f"batch_size is {batch_size}; it must be a multiple of the {self.count} processes")
        each = batch_size // self.count
        return range(self.rank * each, (self.rank + 1) * each)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes; every process must call this."""
        if self.count == 1:
            return values
        summed = values.detach().clone()
        distributed.all_reduce(summed)
        return summed

    def broadcast(self, decision: bool, device: torch.device) -> bool:
        """Return the decision of the first process; every process must call this."""
        if self.count == 1:
            return decision
        value = torch.tensor([int(decision)], device=device)
        distributed.broadcast(value, src=0)
        return bool(value.item())


SINGLE_PROCESS = Ranks()


@contextmanager
def join_ranks(device: str, environment: Mapping[str, str] = os.environ) -> Iterator[tuple[Ranks, str]]:
    """Join the process group if torchrun started this process; otherwise yield `SINGLE_PROCESS`.

    Args:
        device: requested device: "cpu", or "cuda" for one GPU per process.
        environment: environment variables, in which torchrun sets the rank of each process.

    Yields:
        The rank of this process and its device.

    Raises:
        ConfigError: the processes would share one device, or this process has none.
    """
    count = int(environment.get("WORLD_SIZE", "1"))
    if count == 1:
        yield SINGLE_PROCESS, device
        return
    if ":" in device:
        raise ConfigError(f"device is {device}, but torchrun started {count} processes; set device to cuda")
    on_cuda = device == "cuda"
    local = int(environment["LOCAL_RANK"])
    if on_cuda:
        if local >= torch.cuda.device_count():
            raise ConfigError(
                f"torchrun started process {local} on this machine, which has {torch.cuda.device_count()} GPUs;"
                " start one process per GPU"
            )
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if on_cuda else "gloo", timeout=WAIT)
    try:
        yield Ranks(distributed.get_rank(), count), device
    finally:
        distributed.destroy_process_group()
