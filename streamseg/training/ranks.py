"""The processes of one run: one per device, each with its share of every batch, started by torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from streamseg.errors import ConfigError

__all__ = ["ALONE", "Ranks", "join_ranks"]

WAIT = timedelta(minutes=30)
"""How long a process waits for the others: the first may be evaluating the network meanwhile."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is; `count` above 1 needs torch's process group."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that logs and writes."""
        return self.rank == 0

    def share(self, batch_size: int) -> range:
        """Which pictures of each batch are this process's.

        Raises:
            ConfigError: the batch cannot be shared out evenly.
        """
        if batch_size % self.count:
            raise ConfigError(f"batch_size is {batch_size}; it must be a multiple of the {self.count} processes")
        each = batch_size // self.count
        return range(self.rank * each, (self.rank + 1) * each)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, which all have to ask for it."""
        if self.count == 1:
            return values
        summed = values.detach().clone()
        distributed.all_reduce(summed)
        return summed

    def agree(self, decision: bool, device: torch.device) -> bool:
        """What the first process decides; all have to ask for it."""
        if self.count == 1:
            return decision
        word = torch.tensor([int(decision)], device=device)
        distributed.broadcast(word, src=0)
        return bool(word.item())


ALONE = Ranks()


@contextmanager
def join_ranks(device: str, environment: Mapping[str, str] = os.environ) -> Iterator[tuple[Ranks, str]]:
    """Join the other processes, if torchrun started this one; alone otherwise.

    Args:
        device: what the user asked for: "cpu", or "cuda" for one GPU per process.
        environment: torchrun says in it who is who.

    Yields:
        Which process this is, and its device.

    Raises:
        ConfigError: a device that the processes would have to share, or none for this process.
    """
    count = int(environment.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE, device
        return
    if ":" in device:
        raise ConfigError(f"device is {device}, but torchrun started {count} processes; ask for cuda, one GPU each")
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
