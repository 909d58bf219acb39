"""The training loop: batches in, steps, a log, evaluations and checkpoints out."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from streamseg.errors import ConfigError, DataError
from streamseg.modeling.network import Network, build_network
from streamseg.training.batches import SampleSource, batches
from streamseg.training.checkpoint import load_checkpoint, save_checkpoint
from streamseg.training.learner import Learner, learning_rate
from streamseg.training.loss import LossParts
from streamseg.training.ranks import ALONE, Ranks
from streamseg.training.settings import TrainingSettings
from streamseg.training.step_log import append_line, trim_lines

__all__ = ["CHECKPOINT", "EVALUATIONS", "LOSSES", "Evaluation", "Progress", "Trainer"]

CHECKPOINT, LOSSES, EVALUATIONS = "last.ckpt", "losses.jsonl", "evaluations.jsonl"
"""The files of a run."""


@dataclass(frozen=True)
class Progress:
    """One line of the training log; losses are means since the line before."""

    step: int
    num_steps: int
    losses: dict[str, float]
    learning_rate: float
    pictures_per_second: float


@dataclass(frozen=True)
class Evaluation:
    """How good the averaged network is, asked now and then on the way."""

    measure: Callable[[Network], dict[str, float]]
    """Figures by name, of a network in eval mode that it leaves as it is."""
    every: int
    """Steps from one to the next; the last step is evaluated as well."""


class Trainer:
    """One run in one folder: `last.ckpt`, `losses.jsonl`, `evaluations.jsonl`.

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
        ranks: the processes that share the run, each with its own trainer; only the first writes.

    Raises:
        ConfigError: the processes cannot share a batch.
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
        ranks: Ranks = ALONE,
    ) -> None:
        if not sources or len(sources) != len(weights) or min(weights) <= 0:
            raise DataError(f"training needs sources and a positive weight for each, got {len(sources)} and {weights}")
        if len(ranks.share(settings.batch_size)) == 1 and 32 in settings.sizes:
            # The coarsest level of such a picture is one cell, which has no variance to normalise by.
            raise ConfigError(
                f"batch_size is {settings.batch_size}; it must be at least {2 * ranks.count} for pictures of 32 pixels"
                f" in {ranks.count} processes"
            )
        self.settings = settings
        self._sources, self._weights = sources, weights
        self._folder = folder
        self._device = torch.device(device)
        self._num_workers = num_workers
        self._ranks = ranks
        network = build_network(settings.size, seed=settings.seed) if initial is None else copy.deepcopy(initial)
        self._learner = Learner(network, settings, self._device, ranks=ranks)
        if resume:
            self._learner.restore(load_checkpoint(folder / CHECKPOINT), folder / CHECKPOINT)
        if ranks.is_first:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                for log in (LOSSES, EVALUATIONS):
                    trim_lines(folder / log, self.step)
            except OSError as error:
                raise DataError(f"cannot write to the folder {folder}: {error.strerror}; choose another one") from error

    @property
    def step(self) -> int:
        """Steps done."""
        return self._learner.step

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return self._learner.network

    @property
    def average(self) -> Network:
        """Its moving average, which is what is used later; in eval mode."""
        return self._learner.average

    def run(
        self,
        report: Callable[[Progress], None],
        *,
        report_every: int = 50,
        checkpoint_seconds: float = 180.0,
        stop_after_seconds: float = math.inf,
        evaluation: Evaluation | None = None,
        on_checkpoint: Callable[[], None] = lambda: None,
    ) -> bool:
        """Train to the end, or for `stop_after_seconds`; True when the run is complete.

        Args:
            report: called with each line of the log.
            report_every: steps from line to line.
            checkpoint_seconds: from checkpoint to checkpoint.
            stop_after_seconds: stop then, with a checkpoint.
            evaluation: what to measure on the way.
            on_checkpoint: called when a checkpoint has been written.

        Raises:
            DataError: a picture cannot be read, the loss is no number, or a checkpoint cannot be written. The
                last checkpoint is intact.
        """
        started = checkpointed = time.monotonic()
        window = _Window(self.step, started)
        saved_step = self.step
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
            ranks=self._ranks,
        ):
            window.add(self._learner.train_on(batch.to(self._device)))
            is_last = self.step == self.settings.num_steps
            if is_last or self.step % report_every == 0:
                self._log(report, window)
                window = _Window(self.step, time.monotonic())
            if evaluation is not None and (is_last or self.step % evaluation.every == 0):
                window.started += self._evaluate(evaluation)
            now = time.monotonic()
            has_time = now - started <= stop_after_seconds
            # Each has its own clock, and all must stop at the same step.
            if math.isfinite(stop_after_seconds) and self._ranks.agree(not has_time, self._device):
                break
            if now - checkpointed > checkpoint_seconds:
                self._checkpoint(on_checkpoint)
                checkpointed, saved_step = time.monotonic(), self.step
        if self.step > saved_step:
            self._checkpoint(on_checkpoint)
        return self.step >= self.settings.num_steps

    def _log(self, report: Callable[[Progress], None], window: _Window) -> None:
        num_steps = self.step - window.first_step
        means = self._ranks.total(torch.stack(list(window.sums.values()))) / self._ranks.count
        losses = {name: value / num_steps for name, value in zip(window.sums, means.tolist(), strict=True)}
        if not all(map(math.isfinite, losses.values())):
            raise self._diverged("the loss")
        if not self._ranks.is_first:
            return
        seconds = max(time.monotonic() - window.started, 1e-9)
        progress = Progress(
            step=self.step,
            num_steps=self.settings.num_steps,
            losses=losses,
            learning_rate=learning_rate(self.step, self.settings),
            pictures_per_second=num_steps * self.settings.batch_size / seconds,
        )
        append_line(self._folder / LOSSES, asdict(progress))
        report(progress)

    def _evaluate(self, evaluation: Evaluation) -> float:
        """Measure and write it down; the seconds it took."""
        started = time.monotonic()
        if self._ranks.is_first:
            scores = evaluation.measure(self.average)
            append_line(self._folder / EVALUATIONS, {"step": self.step, "scores": scores})
        return time.monotonic() - started

    def _checkpoint(self, on_checkpoint: Callable[[], None]) -> None:
        # The loss is only looked at now and then, and may be finite when its gradient is not.
        broken = self._learner.first_infinite()
        if broken is not None:
            raise self._diverged(f"{broken} of the network")
        if self._ranks.is_first:
            save_checkpoint(self._learner.state(), self._folder / CHECKPOINT)
            on_checkpoint()

    def _diverged(self, what: str) -> DataError:
        checkpoint = self._folder / CHECKPOINT
        remedy = f"resume from {checkpoint}" if checkpoint.exists() else "start again: there is no checkpoint yet"
        return DataError(f"{what} is no number any more at step {self.step}; lower the learning rate and {remedy}")


class _Window:
    """Losses since the last line of the log."""

    def __init__(self, first_step: int, started: float) -> None:
        self.first_step = first_step
        self.started = started
        self.sums: dict[str, Tensor] = {}

    def add(self, parts: LossParts) -> None:
        for name, value in parts._asdict().items():
            # Kept where they are: to look at a number on a GPU is to wait for it.
            self.sums[name] = self.sums[name] + value.detach() if name in self.sums else value.detach()
