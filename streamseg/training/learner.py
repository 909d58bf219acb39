"""The state of training: network, moving average and optimizer, and the training step."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamseg.errors import DataError
from streamseg.modeling.network import Network, Predictions, fuse
from streamseg.training.batches import Batch
from streamseg.training.loss import segmentation_loss
from streamseg.training.optimizer import build_optimizer
from streamseg.training.ranks import SINGLE_PROCESS, Ranks
from streamseg.training.settings import TrainingSettings
from streamseg.training.teacher import teacher_loss

__all__ = ["Learner", "learning_rate"]


class Learner:
    """A network at one step of its training.

    Args:
        network: initial network, trained in place.
        settings: settings of the run.
        device: device to train on.
        teacher: network whose boxes and scores the network also learns, see `teacher_loss`; None: labels only.
        ranks: processes that train it together. Each processes its share of a batch; the gradient is that of the
            whole batch. Batch norms see the whole batch on CUDA; on the CPU, each sees its share, and the statistics
            of the first process are kept.
    """

    def __init__(
        self,
        network: Network,
        settings: TrainingSettings,
        device: torch.device,
        *,
        teacher: Network | None = None,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        self.step = 0
        self.network = network
        self.average = copy.deepcopy(network).to(device).eval().requires_grad_(False)
        network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._settings = settings
        self._device = device
        self._ranks = ranks
        self._forward: Callable[..., Predictions] = network if ranks.count == 1 else _distributed(network, device)
        self._optimizer = build_optimizer(
            settings.optimizer,
            network,
            weight_decay=settings.weight_decay,
            pretrained_rate=settings.pretrained_rate,
        )
        self._teacher: Network | None = None
        if teacher is not None:
            placed = fuse(teacher).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._teacher = placed

    def train_on(self, batch: Batch) -> dict[str, Tensor]:
        """Train one step on a batch on the device, or on this process's share of it.

        Returns:
            The losses before the step, by name: those of `LossParts`, and `teacher` if there is one. Their mean over
            all processes is the loss of the whole batch.
        """
        parts = self.backward(batch)
        nn.utils.clip_grad_norm_(self.network.parameters(), self._settings.max_gradient_norm)
        self._optimizer.step(learning_rate(self.step, self._settings))
        self._update_average()
        self.step += 1
        return parts

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of a batch and add their gradients to those of the network."""
        rng = torch.Generator().manual_seed(self._settings.seed * 1_000_003 + self.step)
        images = batch.images.to(memory_format=torch.channels_last).float() / 255
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._settings.half):
            predictions = self._forward(images)
            with torch.no_grad():
                taught = None if self._teacher is None else self._teacher(images)
        parts = segmentation_loss(predictions, batch, rng=rng, mask_gain=self._settings.mask_gain, ranks=self._ranks)
        losses = parts._asdict()
        if taught is not None:
            losses["teacher"] = self._settings.teacher_gain * teacher_loss(predictions, taught)
        torch.stack(tuple(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        return losses

    @torch.no_grad()
    def _update_average(self) -> None:
        # The average follows quickly at first, to forget the random initial weights.
        decay = self._settings.average_decay * (1 - math.exp(-(self.step + 1) / 500))
        for averaged, current in zip(
            self.average.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if averaged.is_floating_point():
                averaged.lerp_(current, 1 - decay)
            else:
                averaged.copy_(current)

    def first_infinite(self) -> str | None:
        """Return the name of a network tensor with a NaN or infinite value; None if all values are finite."""
        for name, tensor in self.network.state_dict().items():
            if not torch.isfinite(tensor).all():
                return name
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return the complete state, as expected by `save_checkpoint`."""
        return {
            "step": self.step,
            "settings": json.dumps(asdict(self._settings)),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], path: Path) -> None:
        """Restore a state; `path` is the file that it was read from, for error messages.

        Raises:
            DataError: the state belongs to another network or optimizer.
        """
        try:
            size = json.loads(state["settings"])["size"]
            if size == self._settings.size:
                self.network.load_state_dict(state["network"])
                self.average.load_state_dict(state["average"])
                self._optimizer.load_state_dict(state["optimizer"])
                self.step = int(state["step"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise DataError(f"{path} does not fit the network ({type(error).__name__}); start a new run") from error
        if size != self._settings.size:
            raise DataError(
                f"{path} belongs to a network of size {size}, not to {self._settings.size} as in the settings"
            )


def _distributed(network: Network, device: torch.device) -> nn.Module:
    """Wrap the network to average its gradients over all processes; the wrapper shares the network's tensors."""
    if device.type == "cpu":
        return nn.parallel.DistributedDataParallel(network)
    return nn.parallel.DistributedDataParallel(
        nn.SyncBatchNorm.convert_sync_batchnorm(network),  # type: ignore[no-untyped-call]
        device_ids=[device.index],
    )


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """Return the learning rate of a step: a linear rise during the warm-up, then a decay along half a cosine."""
    if step < settings.num_warmup_steps:
        return settings.learning_rate * (step + 1) / settings.num_warmup_steps
    done = (step - settings.num_warmup_steps) / max(settings.num_steps - settings.num_warmup_steps, 1)
    cosine = (1 + math.cos(math.pi * min(done, 1.0))) / 2
    return settings.final_learning_rate + (settings.learning_rate - settings.final_learning_rate) * cosine
