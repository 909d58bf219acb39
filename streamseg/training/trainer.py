"""The training loop, with its logs, evaluations and checkpoints."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from streamseg.errors import ConfigError, DataError, WeightsError, reason_of
from streamseg.modeling.network import Network
from streamseg.modeling.sizes import build_network
from streamseg.training.batches import SampleSource, batches
from streamseg.training.checkpoint import load_checkpoint, save_checkpoint
from streamseg.training.learner import Learner, learning_rate
from streamseg.training.ranks import SINGLE_PROCESS, Ranks
from streamseg.training.settings import TrainingSettings
from streamseg.training.step_log import append_line, trim_lines

__all__ = ["CHECKPOINT", "EVALUATIONS", "LOSSES", "Evaluation", "Progress", "Trainer"]

CHECKPOINT, LOSSES, EVALUATIONS = "last.ckpt", "losses.jsonl", "evaluations.jsonl"
"""Names of the files in a run's folder."""


@dataclass(frozen=True)
class Progress:
    """One line of the training log; losses are means since the previous line."""

    step: int
    num_steps: int
    losses: dict[str, float]
    learning_rate: float
    images_per_second: float


@dataclass(frozen=True)
class Evaluation:
    """Periodic evaluation of the averaged network."""

    measure: Callable[[Network], dict[str, float]]
    """Returns figures by name for a network in eval mode, without changing it."""
    every: int
    """Steps between evaluations; the last step is always evaluated."""


class Trainer:
    """One run in one folder: `last.ckpt`, `losses.jsonl`, `evaluations.jsonl`.

    Args:
        settings: settings of the run.
        sources: sources of labelled images.
        weights: share of each source.
        folder: folder for checkpoints and logs, created if missing.
        device: "cpu" or "cuda…".
        resume: resume from `last.ckpt` and continue its logs; settings such as `num_steps` may differ, but not the
            size of the network.
        num_workers: processes that compose images.
        initial: network to fine-tune; None starts with random weights of the size in the settings.
        teacher: network to learn boxes and scores from, see `teacher_loss`; None: labels only.
        ranks: processes that share the run, each with its own trainer; only the first writes files.

    Raises:
        ConfigError: a batch cannot be divided evenly among the processes.
        WeightsError: the teacher has another number of bins.
        DataError: there are no sources, the folder is not writable, or the checkpoint does not fit.
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
        teacher: Network | None = None,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        if not sources or len(sources) != len(weights) or min(weights) <= 0:
            raise DataError(f"training requires sources with positive weights, got {len(sources)} and {weights}")
        if len(ranks.share(settings.batch_size)) == 1 and 32 in settings.sizes:
            # The coarsest level of such an image is a single cell, which has no variance for normalisation.
            raise ConfigError(
                f"batch_size is {settings.batch_size}; it must be at least {2 * ranks.count} for images of 32 pixels"
                f" in {ranks.count} processes"
            )
        network = build_network(settings.size, seed=settings.seed) if initial is None else copy.deepcopy(initial)
        if teacher is not None and teacher.config.reg_max != network.config.reg_max:
            raise WeightsError(
                f"the teacher has {teacher.config.reg_max} bins per side, but the network has {network.config.reg_max};"
                " use a teacher with as many"
            )
        self.settings = settings
        self._sources, self._weights = sources, weights
        self._folder = folder
        self._device = torch.device(device)
        self._num_workers = num_workers
        self._ranks = ranks
        self._learner = Learner(network, settings, self._device, teacher=teacher, ranks=ranks)
        if resume:
            self._learner.load_state_dict(load_checkpoint(folder / CHECKPOINT), folder / CHECKPOINT)
        if ranks.is_first:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                for log in (LOSSES, EVALUATIONS):
                    trim_lines(folder / log, self.step)
            except OSError as error:
                raise DataError(
                    f"cannot write to the folder {folder}: {reason_of(error)}; choose another one"
                ) from error

    @property
    def step(self) -> int:
        """Number of completed steps."""
        return self._learner.step

    @property
    def network(self) -> Network:
        """Network in training."""
        return self._learner.network

    @property
    def average(self) -> Network:
        """Moving average of the network, in eval mode; the final result of training."""
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
        on_skip: Callable[[str], None] | None = None,
        on_figures: Callable[[int, Mapping[str, float]], None] = lambda step, values: None,
    ) -> bool:
        """Train to the end, or for `stop_after_seconds`; return True if the run is complete.

        Args:
            report: callback for each line of the log.
            report_every: steps between lines of the log.
            checkpoint_seconds: minimum time between checkpoints.
            stop_after_seconds: time after which to stop, with a checkpoint.
            evaluation: evaluation to run periodically; None runs none.
            on_checkpoint: called after each checkpoint is written.
            on_skip: see `batches`.
            on_figures: called with the step and its figures by name: `loss/…`, `learning_rate`, `images_per_second`,
                and after an evaluation `eval/…`.

        Raises:
            DataError: an image cannot be read, the loss is not finite, or a checkpoint cannot be written. The last
                checkpoint remains intact.
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
            on_skip=on_skip,
        ):
            window.add(self._learner.train_on(batch.to(self._device)))
            is_last = self.step == self.settings.num_steps
            if is_last or self.step % report_every == 0:
                self._log(report, on_figures, window)
                window = _Window(self.step, time.monotonic())
            if evaluation is not None and (is_last or self.step % evaluation.every == 0):
                window.started += self._evaluate(evaluation, on_figures)
            now = time.monotonic()
            has_time = now - started <= stop_after_seconds
            # Each process has its own clock, but all must stop at the same step.
            if math.isfinite(stop_after_seconds) and self._ranks.broadcast(not has_time, self._device):
                break
            if now - checkpointed > checkpoint_seconds:
                self._checkpoint(on_checkpoint)
                checkpointed, saved_step = time.monotonic(), self.step
        if self.step > saved_step:
            self._checkpoint(on_checkpoint)
        return self.step >= self.settings.num_steps

    def _log(
        self,
        report: Callable[[Progress], None],
        on_figures: Callable[[int, Mapping[str, float]], None],
        window: _Window,
    ) -> None:
        num_steps = self.step - window.first_step
        means = self._ranks.sum(torch.stack(list(window.sums.values()))) / self._ranks.count
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
            images_per_second=num_steps * self.settings.batch_size / seconds,
        )
        values = asdict(progress)
        values["pictures_per_second"] = values.pop("images_per_second")  # the key in existing logs
        append_line(self._folder / LOSSES, values)
        report(progress)
        figures = {f"loss/{name}": value for name, value in losses.items()}
        figures["learning_rate"] = progress.learning_rate
        on_figures(self.step, {**figures, "images_per_second": progress.images_per_second})

    def _evaluate(self, evaluation: Evaluation, on_figures: Callable[[int, Mapping[str, float]], None]) -> float:
        """Run the evaluation and log its scores; return the elapsed seconds."""
        started = time.monotonic()
        if self._ranks.is_first:
            scores = evaluation.measure(self.average)
            append_line(self._folder / EVALUATIONS, {"step": self.step, "scores": scores})
            on_figures(self.step, {f"eval/{name}": value for name, value in scores.items()})
        return time.monotonic() - started

    def _checkpoint(self, on_checkpoint: Callable[[], None]) -> None:
        # The loss is checked only when it is logged, and it may be finite while its gradient is not.
        broken = self._learner.first_infinite()
        if broken is not None:
            raise self._diverged(f"{broken} of the network")
        if self._ranks.is_first:
            save_checkpoint(self._learner.state_dict(), self._folder / CHECKPOINT)
            on_checkpoint()

    def _diverged(self, name: str) -> DataError:
        checkpoint = self._folder / CHECKPOINT
        remedy = f"resume from {checkpoint}" if checkpoint.exists() else "start again: there is no checkpoint yet"
        return DataError(f"{name} is not finite at step {self.step}; lower the learning rate and {remedy}")


class _Window:
    """Losses since the previous line of the log."""

    def __init__(self, first_step: int, started: float) -> None:
        self.first_step = first_step
        self.started = started
        self.sums: dict[str, Tensor] = {}

    def add(self, losses: Mapping[str, Tensor]) -> None:
        for name, value in losses.items():
            # Keep the sums on the device: reading a value from a GPU waits for it.
            self.sums[name] = self.sums[name] + value.detach() if name in self.sums else value.detach()
