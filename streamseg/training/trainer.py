"""The training loop: AdamW, warm-up and cosine, a moving average of the weights, checkpoints."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from streamseg.errors import DataError
from streamseg.segmentation.network import Network, Size, build_network
from streamseg.training.batches import Batch, SampleSource, batches
from streamseg.training.checkpoint import load_checkpoint, save_checkpoint
from streamseg.training.compose import ComposeSettings
from streamseg.training.loss import LossParts, segmentation_loss

__all__ = ["Progress", "Trainer", "TrainingSettings"]


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides the course of a run, apart from the data."""

    size: Size = "n"
    num_steps: int = 6000
    batch_size: int = 16
    sizes: tuple[int, ...] = (224, 256, 288)
    """Canvas sizes in pixels, one drawn per batch; multiples of 32."""
    learning_rate: float = 2e-3
    final_learning_rate: float = 2e-5
    weight_decay: float = 0.02
    num_warmup_steps: int = 200
    average_decay: float = 0.9995
    """Of the moving average; reached gradually."""
    max_gradient_norm: float = 10.0
    seed: int = 0
    half: bool = True
    """bfloat16 for the network (the loss stays float32)."""
    compose: ComposeSettings = field(default_factory=ComposeSettings)


@dataclass(frozen=True)
class Progress:
    """One line of the training log; losses are means since the line before."""

    step: int
    num_steps: int
    losses: dict[str, float]
    learning_rate: float
    pictures_per_second: float


class Trainer:
    """One run in one folder: `last.ckpt`, `losses.jsonl`.

    Args:
        settings: the course of the run.
        sources: labelled pictures.
        weights: share of each source.
        folder: where checkpoints and the log go; made if need be.
        device: "cpu" or "cuda…".
        resume: go on from `last.ckpt`; the settings may differ in `num_steps` and the like,
            not in the network's size.
        num_workers: processes that compose pictures.

    Raises:
        DataError: nothing to train on, or a checkpoint that does not fit.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        sources: Sequence[SampleSource],
        weights: Sequence[float],
        folder: Path,
        *,
        device: str = "cpu",
        resume: bool = False,
        num_workers: int = 1,
    ) -> None:
        if not sources or len(sources) != len(weights) or min(weights) <= 0:
            raise DataError(f"training needs sources and a positive weight for each, got {len(sources)} and {weights}")
        self.settings = settings
        self.step = 0
        self._sources, self._weights = sources, weights
        self._folder = folder
        self._device = torch.device(device)
        self._num_workers = num_workers
        self.network = build_network(settings.size, seed=settings.seed)
        self.network.to(self._device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.average = build_network(settings.size, seed=settings.seed).to(self._device).eval()
        self.average.requires_grad_(False)
        self._optimizer = torch.optim.AdamW(
            _parameter_groups(self.network, settings.weight_decay), lr=settings.learning_rate
        )
        folder.mkdir(parents=True, exist_ok=True)
        if resume:
            self._restore(load_checkpoint(folder / "last.ckpt"))

    def run(
        self,
        report: Callable[[Progress], None],
        *,
        report_every: int = 50,
        checkpoint_seconds: float = 180.0,
        stop_after_seconds: float = math.inf,
    ) -> bool:
        """Train to the end, or for `stop_after_seconds`; True when the run is complete.

        Raises:
            DataError: the loss is no number, or a checkpoint cannot be written. The last one is intact.
        """
        started = checkpointed = time.monotonic()
        window_started, window_step = started, self.step
        sums: dict[str, Tensor] = {}
        for batch in batches(
            self._sources,
            self._weights,
            sizes=self.settings.sizes,
            batch_size=self.settings.batch_size,
            start=self.step,
            stop=self.settings.num_steps,
            seed=self.settings.seed,
            settings=self.settings.compose,
            num_workers=self._num_workers,
        ):
            parts = self._train_on(batch.to(self._device))
            for name, value in parts._asdict().items():
                sums[name] = sums.get(name, torch.zeros((), device=self._device)) + value.detach()
            self.step += 1
            if self.step % report_every == 0 or self.step == self.settings.num_steps:
                num_steps = self.step - window_step
                losses = {name: float(value) / num_steps for name, value in sums.items()}
                if not all(map(math.isfinite, losses.values())):
                    raise DataError(
                        f"the loss is no number any more at step {self.step} ({losses}); lower the learning rate"
                        f" and resume from {self._folder / 'last.ckpt'}"
                    )
                seconds = time.monotonic() - window_started
                self._log(report, losses, num_steps * self.settings.batch_size / max(seconds, 1e-9))
                window_started, window_step, sums = time.monotonic(), self.step, {}
            now = time.monotonic()
            stops = now - started > stop_after_seconds
            if stops or now - checkpointed > checkpoint_seconds:
                self._checkpoint()
                checkpointed = time.monotonic()
            if stops:
                break
        self._checkpoint()
        return self.step >= self.settings.num_steps

    def _train_on(self, batch: Batch) -> LossParts:
        learning_rate = _learning_rate(self.step, self.settings)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        rng = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.step)
        images = batch.images.to(memory_format=torch.channels_last).float() / 255
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.settings.half):
            predictions = self.network(images)
        parts = segmentation_loss(predictions, batch, rng=rng)
        self._optimizer.zero_grad(set_to_none=True)
        torch.stack(tuple(parts)).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_gradient_norm)
        self._optimizer.step()
        self._update_average()
        return parts

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on the average follows quickly: random initial weights must not linger in it.
        decay = self.settings.average_decay * (1 - math.exp(-(self.step + 1) / 500))
        for averaged, current in zip(
            self.average.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if averaged.is_floating_point():
                averaged.lerp_(current, 1 - decay)
            else:
                averaged.copy_(current)

    def _log(self, report: Callable[[Progress], None], losses: dict[str, float], speed: float) -> None:
        progress = Progress(self.step, self.settings.num_steps, losses, _learning_rate(self.step, self.settings), speed)
        with (self._folder / "losses.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(progress)) + "\n")
        report(progress)

    def _checkpoint(self) -> None:
        state = {
            "step": self.step,
            "settings": json.dumps(asdict(self.settings)),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        save_checkpoint(state, self._folder / "last.ckpt")

    def _restore(self, state: dict[str, object]) -> None:
        size = json.loads(str(state["settings"]))["size"]
        if size != self.settings.size:
            raise DataError(f"the checkpoint is of a network of size {size}, asked for is {self.settings.size}")
        self.network.load_state_dict(state["network"])  # type: ignore[arg-type]
        self.average.load_state_dict(state["average"])  # type: ignore[arg-type]
        self._optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        self.step = int(state["step"])  # type: ignore[call-overload]


def _learning_rate(step: int, settings: TrainingSettings) -> float:
    if step < settings.num_warmup_steps:
        return settings.learning_rate * (step + 1) / settings.num_warmup_steps
    done = (step - settings.num_warmup_steps) / max(settings.num_steps - settings.num_warmup_steps, 1)
    cosine = (1 + math.cos(math.pi * min(done, 1.0))) / 2
    return settings.final_learning_rate + (settings.learning_rate - settings.final_learning_rate) * cosine


def _parameter_groups(network: Network, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay on convolutions only, not on biases and batch norms."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
