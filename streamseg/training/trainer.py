"""The training loop: AdamW, warm-up and cosine, a moving average of the weights, checkpoints."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamseg.errors import DataError
from streamseg.segmentation.network import Network, build_network
from streamseg.training.batches import Batch, SampleSource, batches
from streamseg.training.checkpoint import load_checkpoint, save_checkpoint
from streamseg.training.loss import LossParts, segmentation_loss
from streamseg.training.optimizer import build_optimizer
from streamseg.training.settings import TrainingSettings

__all__ = ["Progress", "Trainer"]


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
        resume: go on from `last.ckpt`, and with the log from there; the settings may differ in `num_steps`
            and the like, not in the network's size.
        num_workers: processes that compose pictures.
        initial: what to start from (fine-tuning), instead of random weights of the settings' size.

    Raises:
        DataError: nothing to train on, a folder that cannot be written, or a checkpoint that does not fit.
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
        initial: Network | None = None,
    ) -> None:
        if not sources or len(sources) != len(weights) or min(weights) <= 0:
            raise DataError(f"training needs sources and a positive weight for each, got {len(sources)} and {weights}")
        self.settings = settings
        self.step = 0
        self._sources, self._weights = sources, weights
        self._folder = folder
        self._device = torch.device(device)
        self._num_workers = num_workers
        self.network = build_network(settings.size, seed=settings.seed) if initial is None else copy.deepcopy(initial)
        self.average = copy.deepcopy(self.network).to(self._device).eval().requires_grad_(False)
        self.network.to(self._device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._optimizer = build_optimizer(settings.optimizer, self.network, weight_decay=settings.weight_decay)
        if resume:
            self._restore(load_checkpoint(folder / "last.ckpt"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._trim_log()
        except OSError as error:
            raise DataError(f"cannot write to the folder {folder}: {error.strerror}; choose another one") from error

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
            DataError: a picture cannot be read, the loss is no number, or a checkpoint cannot be written. The
                last checkpoint is intact.
        """
        started = checkpointed = time.monotonic()
        window_started, window_step, saved_step = started, self.step, self.step
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
                    raise self._diverged("the loss")
                seconds = time.monotonic() - window_started
                self._log(report, losses, num_steps * self.settings.batch_size / max(seconds, 1e-9))
                window_started, window_step, sums = time.monotonic(), self.step, {}
            now = time.monotonic()
            if now - started > stop_after_seconds:
                break
            if now - checkpointed > checkpoint_seconds:
                self._checkpoint()
                checkpointed, saved_step = time.monotonic(), self.step
        if self.step > saved_step:
            self._checkpoint()
        return self.step >= self.settings.num_steps

    def _train_on(self, batch: Batch) -> LossParts:
        rng = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.step)
        images = batch.images.to(memory_format=torch.channels_last).float() / 255
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.settings.half):
            predictions = self.network(images)
        parts = segmentation_loss(predictions, batch, rng=rng, mask_gain=self.settings.mask_gain)
        torch.stack(tuple(parts)).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_gradient_norm)
        self._optimizer.step(_learning_rate(self.step, self.settings))
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
        try:
            with (self._folder / "losses.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(progress)) + "\n")
        except OSError as error:
            raise DataError(f"cannot write {self._folder / 'losses.jsonl'}: {error.strerror}") from error
        report(progress)

    def _trim_log(self) -> None:
        """Leave out what was logged after the checkpoint: those steps are done again."""
        log = self._folder / "losses.jsonl"
        if not log.exists():
            return
        kept = []
        for line in log.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] > self.step:
                    break
            except (ValueError, KeyError, TypeError):
                break  # the end of a log whose writer was killed
            kept.append(line + "\n")
        log.write_text("".join(kept), encoding="utf-8")

    def _diverged(self, what: str) -> DataError:
        return DataError(
            f"{what} is no number any more at step {self.step}; lower the learning rate and resume from"
            f" {self._folder / 'last.ckpt'}"
        )

    def _checkpoint(self) -> None:
        for name, tensor in self.network.state_dict().items():
            # The loss is only looked at now and then, and may be finite when its gradient is not.
            if not torch.isfinite(tensor).all():
                raise self._diverged(f"{name} of the network")
        state = {
            "step": self.step,
            "settings": json.dumps(asdict(self.settings)),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        save_checkpoint(state, self._folder / "last.ckpt")

    def _restore(self, state: dict[str, Any]) -> None:
        path = self._folder / "last.ckpt"
        try:
            size = json.loads(state["settings"])["size"]
            if size == self.settings.size:
                self.network.load_state_dict(state["network"])
                self.average.load_state_dict(state["average"])
                self._optimizer.load_state_dict(state["optimizer"])
                self.step = int(state["step"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise DataError(f"{path} does not fit the network ({type(error).__name__}); train afresh") from error
        if size != self.settings.size:
            raise DataError(f"{path} is of a network of size {size}, asked for is {self.settings.size}")


def _learning_rate(step: int, settings: TrainingSettings) -> float:
    if step < settings.num_warmup_steps:
        return settings.learning_rate * (step + 1) / settings.num_warmup_steps
    done = (step - settings.num_warmup_steps) / max(settings.num_steps - settings.num_warmup_steps, 1)
    cosine = (1 + math.cos(math.pi * min(done, 1.0))) / 2
    return settings.final_learning_rate + (settings.learning_rate - settings.final_learning_rate) * cosine
