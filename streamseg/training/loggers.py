"""Figures of a training run for TensorBoard, MLflow and Weights & Biases, by their own libraries."""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args

from streamseg.errors import ConfigError, DataError, reason_of
from streamseg.resources import Resource
from streamseg.training.settings import TrainingSettings

__all__ = ["LOGGERS", "LoggerName", "RunLoggers"]

logger = logging.getLogger(__name__)

LoggerName = Literal["tensorboard", "mlflow", "wandb"]

LOGGERS: Final[tuple[LoggerName, ...]] = get_args(LoggerName)

PROJECT: Final = "streamseg"
"""Experiment of MLflow and project of Weights & Biases, unless their environment variables name another one."""


class RunLogger(Protocol):
    """One program that displays training runs."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record figures of one step; the names contain letters, digits, `/`, `@`, `_` and spaces."""

    def close(self) -> None:
        """Finish the run."""


class RunLoggers(Resource):
    """The loggers of one run. One that fails is reported once and left out; it does not end the training.

    A run that resumes continues its record: TensorBoard's from the checkpoint's step on, the others' by the id of
    their run, which is kept in a file of the folder.

    Args:
        names: programs to log to.
        folder: folder of the run; TensorBoard's files are in `tensorboard`, MLflow's in `mlflow.db` unless
            MLFLOW_TRACKING_URI names a server, those of Weights & Biases in `wandb`.
        settings: settings of the run.
        step: completed steps; 0 for a new run.

    Raises:
        ConfigError: a library is not installed, or refuses the run.
        DataError: the folder cannot be written.
    """

    def __init__(self, names: Sequence[LoggerName], folder: Path, settings: TrainingSettings, *, step: int) -> None:
        self._loggers: dict[str, RunLogger] = {}
        with ExitStack() as unfinished:
            unfinished.callback(self.close)
            for name in dict.fromkeys(names):
                try:
                    self._loggers[name] = _OPEN[name](folder, _flat(asdict(settings)), step)
                except ModuleNotFoundError as error:
                    raise ConfigError(
                        f"--log-to {name} needs {error.name}, which is not installed; run: pip install {name}"
                    ) from error
                except OSError as error:
                    raise DataError(f"{name}: cannot write {folder}: {reason_of(error)}") from error
                except Exception as error:  # each library has errors of its own
                    raise ConfigError(f"{name}: {_one_line(error)}") from error
            unfinished.pop_all()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record figures of one step with every logger."""
        for name in list(self._loggers):
            try:
                self._loggers[name].log(step, values)
            except Exception as error:  # each library has errors of its own, and hours of training depend on none
                logger.warning("%s failed and is left out from step %d on: %s", name, step, _one_line(error))
                self._close(name)

    def close(self) -> None:
        """Finish all runs. Idempotent."""
        for name in list(self._loggers):
            self._close(name)

    def _close(self, name: str) -> None:
        try:
            self._loggers.pop(name).close()
        except Exception as error:  # as in `log`
            logger.warning("%s could not finish its run: %s", name, _one_line(error))


class _TensorBoard:
    def __init__(self, folder: Path, settings: Mapping[str, str], step: int) -> None:
        # torch's writer reports a missing tensorboard as an error in its own words.
        import tensorboard  # noqa: F401
        from torch.utils.tensorboard import SummaryWriter

        # What was logged after the checkpoint is repeated, and must not be displayed twice.
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)
        rows = "\n".join(f"| {key} | {value} |" for key, value in settings.items())
        self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}", step)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Mlflow:
    def __init__(self, folder: Path, settings: Mapping[str, str], step: int) -> None:
        import mlflow

        self._mlflow = mlflow
        if "MLFLOW_TRACKING_URI" not in os.environ:
            folder.mkdir(parents=True, exist_ok=True)
            mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        if "MLFLOW_EXPERIMENT_NAME" not in os.environ and "MLFLOW_EXPERIMENT_ID" not in os.environ:
            mlflow.set_experiment(PROJECT)
        run_id = _run_id(folder / "mlflow_run.txt", step)
        run = mlflow.start_run(run_id=run_id, run_name=None if run_id else folder.resolve().name)
        if run_id is None:
            mlflow.log_params(settings)
            (folder / "mlflow_run.txt").write_text(run.info.run_id, encoding="utf-8")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        # Its names contain no @.
        self._mlflow.log_metrics({name.replace("@", " at "): value for name, value in values.items()}, step=step)

    def close(self) -> None:
        self._mlflow.end_run()


class _WeightsAndBiases:
    def __init__(self, folder: Path, settings: Mapping[str, str], step: int) -> None:
        import wandb

        run_id = _run_id(folder / "wandb_run.txt", step) or secrets.token_hex(4)
        (folder / "wandb_run.txt").write_text(run_id, encoding="utf-8")
        self._run = wandb.init(
            project=None if _has_project() else PROJECT,
            dir=str(folder),
            id=run_id,
            name=folder.resolve().name,
            resume="allow",
            config=dict(settings),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


_OPEN: Final[dict[str, Callable[[Path, Mapping[str, str], int], RunLogger]]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _Mlflow,
    "wandb": _WeightsAndBiases,
}


def _has_project() -> bool:
    return "WANDB_PROJECT" in os.environ


def _run_id(path: Path, step: int) -> str | None:
    """Return the id of the run that resumes; None for a new run, or if the earlier part was not logged."""
    if step == 0 or not path.exists():
        return None
    run_id = path.read_text(encoding="utf-8").strip()
    return run_id if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", run_id) else None


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as text by dotted name."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
