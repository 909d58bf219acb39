"""Training runs recorded for TensorBoard, MLflow and Weights & Biases."""

import logging
import os

import pytest

from streamseg.cli.train import LOGGERS as LOGGERS_OF_THE_COMMAND
from streamseg.errors import ConfigError
from streamseg.training import loggers
from streamseg.training.loggers import LOGGERS, RunLoggers
from streamseg.training.settings import TrainingSettings
from tests.support.training_runs import train, write_training_data

SETTINGS = TrainingSettings(num_steps=6)
FIGURES = {"loss/mask": 2.5, "eval/mask AR@100": 0.25, "learning_rate": 0.001}


class BrokenLogger:
    """Raises whatever is asked of it."""

    def __init__(self, folder, settings, step):
        pass

    def log(self, step, values):
        raise RuntimeError("the server\nis gone")

    def close(self):
        raise RuntimeError("still gone")


@pytest.fixture
def away(monkeypatch, tmp_path):
    """No settings of the user's own servers."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def scalars(folder):
    """Steps and values by name, as TensorBoard reads them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_names_are_those_of_the_command():
    assert LOGGERS_OF_THE_COMMAND == LOGGERS


def test_no_logger_costs_nothing(tmp_path):
    with RunLoggers([], tmp_path, SETTINGS, step=0) as none:
        none.log(1, FIGURES)
    assert not list(tmp_path.iterdir())


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    with RunLoggers(["tensorboard", "tensorboard"], tmp_path, SETTINGS, step=0) as run:
        run.log(1, FIGURES)
        run.log(2, {"loss/mask": 1.5})
    found = scalars(tmp_path)
    assert found["loss/mask"] == [(1, 2.5), (2, 1.5)]
    assert found["eval/mask AR@100"] == [(1, 0.25)]


def test_tensorboard_shows_repeated_steps_once(tmp_path):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    with RunLoggers(["tensorboard"], tmp_path, SETTINGS, step=0) as run:
        for step in (1, 2, 3):
            run.log(step, {"loss/mask": 1.0})
    with RunLoggers(["tensorboard"], tmp_path, SETTINGS, step=2) as run:
        run.log(3, {"loss/mask": 0.5})
    assert scalars(tmp_path)["loss/mask"] == [(1, 1.0), (2, 1.0), (3, 0.5)]


@pytest.mark.slow
def test_mlflow_continues_a_run(tmp_path, away):
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow")
    with RunLoggers(["mlflow"], tmp_path, SETTINGS, step=0) as run:
        run.log(1, FIGURES)
    with RunLoggers(["mlflow"], tmp_path, SETTINGS, step=1) as run:
        run.log(2, {"loss/mask": 1.5})
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    [experiment] = [one for one in client.search_experiments() if one.name == "streamseg"]
    [found] = client.search_runs([experiment.experiment_id])
    assert found.data.params["num_steps"] == "6"
    assert found.data.metrics["eval/mask AR at 100"] == 0.25
    assert [(one.step, one.value) for one in client.get_metric_history(found.info.run_id, "loss/mask")] == [
        (1, 2.5),
        (2, 1.5),
    ]


@pytest.mark.slow
def test_wandb_offline(tmp_path, away, monkeypatch):
    pytest.importorskip("wandb", reason="needs wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with RunLoggers(["wandb"], tmp_path, SETTINGS, step=0) as run:
        run.log(1, FIGURES)
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))


def test_a_logger_that_fails_is_reported_once_and_left_out(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(loggers._OPEN, "wandb", BrokenLogger)
    with caplog.at_level(logging.WARNING), RunLoggers(["wandb"], tmp_path, SETTINGS, step=0) as run:
        run.log(1, FIGURES)
        run.log(2, FIGURES)
    assert [record.getMessage() for record in caplog.records] == [
        "wandb failed and is left out from step 1 on: the server is gone",
        "wandb could not finish its run: still gone",
    ]


def test_a_missing_library_is_one_line(tmp_path, monkeypatch):
    def missing(folder, settings, step):
        raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")

    monkeypatch.setitem(loggers._OPEN, "mlflow", missing)
    with pytest.raises(
        ConfigError, match="--log-to mlflow needs mlflow, which is not installed; run: pip install mlflow"
    ):
        RunLoggers(["mlflow"], tmp_path, SETTINGS, step=0)


@pytest.mark.slow
def test_a_run_of_the_command_line(tmp_path, capsys):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    data = write_training_data(tmp_path / "data")
    assert train(data, "--log-to", "tensorboard") == 0
    found = scalars(tmp_path / "run")
    assert [step for step, _ in found["learning_rate"]] == [2]
    assert {"loss/box", "loss/mask", "images_per_second"} <= found.keys()
