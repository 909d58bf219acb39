"""What learns: the network, its moving average and its optimizer, and the step that moves them."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from streamseg.errors import DataError
from streamseg.modeling.network import Network, Predictions
from streamseg.training.batches import Batch
from streamseg.training.loss import LossParts, segmentation_loss
from streamseg.training.optimizer import build_optimizer
from streamseg.training.ranks import ALONE, Ranks
from streamseg.training.settings import TrainingSettings

__all__ = ["Learner", "learning_rate"]


class Learner:
    """A network at one step of its training.

    Args:
        network: what to start from; it is changed.
        settings: the course of the run.
        device: where it is trained.
        ranks: the processes that train it together. Each takes its share of a batch; the gradient is that of the
            whole batch, and batch norms see the whole batch on CUDA, each its share (and the first's is kept) on
            the CPU.
    """

    def __init__(
        self, network: Network, settings: TrainingSettings, device: torch.device, *, ranks: Ranks = ALONE
    ) -> None:
        self.step = 0
        self.network = network
        self.average = copy.deepcopy(network).to(device).eval().requires_grad_(False)
        network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._settings = settings
        self._device = device
        self._ranks = ranks
        self._forward: Callable[..., Predictions] = network if ranks.count == 1 else _joined(network, device)
        self._optimizer = build_optimizer(settings.optimizer, network, weight_decay=settings.weight_decay)

    def train_on(self, batch: Batch) -> LossParts:
        """Do one step with a batch on the device, or with this process's share of it.

        Returns:
            The losses before the step; their mean over all processes is the whole batch's.
        """
        parts = self.backward(batch)
        nn.utils.clip_grad_norm_(self.network.parameters(), self._settings.max_gradient_norm)
        self._optimizer.step(learning_rate(self.step, self._settings))
        self._update_average()
        self.step += 1
        return parts

    def backward(self, batch: Batch) -> LossParts:
        """The losses of a batch, whose gradients are added to the network's."""
        rng = torch.Generator().manual_seed(self._settings.seed * 1_000_003 + self.step)
        images = batch.images.to(memory_format=torch.channels_last).float() / 255
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._settings.half):
            predictions = self._forward(images)
        parts = segmentation_loss(predictions, batch, rng=rng, mask_gain=self._settings.mask_gain, ranks=self._ranks)
        torch.stack(tuple(parts)).sum().backward()  # type: ignore[no-untyped-call]
        return parts

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on the average follows quickly: random initial weights must not linger in it.
        decay = self._settings.average_decay * (1 - math.exp(-(self.step + 1) / 500))
        for averaged, current in zip(
            self.average.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if averaged.is_floating_point():
                averaged.lerp_(current, 1 - decay)
            else:
                averaged.copy_(current)

    def first_infinite(self) -> str | None:
        """Name of a tensor of the network that holds a value that is no number; None where all is well."""
        for name, tensor in self.network.state_dict().items():
            if not torch.isfinite(tensor).all():
                return name
        return None

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from here, as `save_checkpoint` takes it."""
        return {
            "step": self.step,
            "settings": json.dumps(asdict(self._settings)),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Go on from a state; `path` is where it was read from, for messages.

        Raises:
            DataError: it is the state of another network or optimizer.
        """
        try:
            size = json.loads(state["settings"])["size"]
            if size == self._settings.size:
                self.network.load_state_dict(state["network"])
                self.average.load_state_dict(state["average"])
                self._optimizer.load_state_dict(state["optimizer"])
                self.step = int(state["step"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise DataError(f"{path} does not fit the network ({type(error).__name__}); train afresh") from error
        if size != self._settings.size:
            raise DataError(f"{path} is of a network of size {size}, asked for is {self._settings.size}")


def _joined(network: Network, device: torch.device) -> nn.Module:
    """The network whose gradients are the mean over all processes'; its tensors are the network's own."""
    if device.type == "cpu":
        return nn.parallel.DistributedDataParallel(network)
    return nn.parallel.DistributedDataParallel(
        nn.SyncBatchNorm.convert_sync_batchnorm(network),  # type: ignore[no-untyped-call]
        device_ids=[device.index],
    )


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """That of a step: it rises linearly through the warm-up, and falls along half a cosine."""
    if step < settings.num_warmup_steps:
        return settings.learning_rate * (step + 1) / settings.num_warmup_steps
    done = (step - settings.num_warmup_steps) / max(settings.num_steps - settings.num_warmup_steps, 1)
    cosine = (1 + math.cos(math.pi * min(done, 1.0))) / 2
    return settings.final_learning_rate + (settings.learning_rate - settings.final_learning_rate) * cosine
