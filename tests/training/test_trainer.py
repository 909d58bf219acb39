import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from streamseg.datasets.samples import Sample
from streamseg.errors import DataError
from streamseg.training.checkpoint import load_checkpoint, save_checkpoint
from streamseg.training.trainer import Trainer
from tests.support.paths import REPOSITORY
from tests.support.training_runs import SETTINGS, SOURCES, ignore, trained, trainer_in

pytestmark = pytest.mark.slow


class Crash(Exception):
    """Simulates any crash of a process."""


def crash_at(step):
    def report(progress):
        if progress.step == step:
            raise Crash

    return report


def log_of(folder):
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def losses_of(folder):
    return [(line["step"], line["losses"]) for line in log_of(folder)]


def assert_same(one, other, path=""):
    """Assert bitwise equality, recursing through dicts and lists."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key, value in one.items():
            assert_same(value, other[key], f"{path}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for index, value in enumerate(one):
            assert_same(value, other[index], f"{path}.{index}")
    else:
        assert one == other, path


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Folder of a run from start to end."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    trained(folder)
    return folder


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Checkpoint of a run that was stopped after the first of six steps."""
    folder = tmp_path_factory.mktemp("started")
    assert not trainer_in(folder).run(ignore, stop_after_seconds=0)
    return (folder / "last.ckpt").read_bytes()


@pytest.fixture
def folder(tmp_path, started):
    """A run that was stopped after the first of six steps."""
    (tmp_path / "last.ckpt").write_bytes(started)
    return tmp_path


# ---- a run


def test_run_reports_progress_to_the_end(tmp_path):
    seen = []
    trainer = trainer_in(tmp_path, replace(SETTINGS, num_steps=5))
    assert trainer.run(seen.append, report_every=2)
    assert [progress.step for progress in seen] == [2, 4, 5]
    assert all(progress.num_steps == 5 and progress.images_per_second > 0 for progress in seen)
    assert all(progress.losses.keys() == {"box", "distribution", "score", "mask"} for progress in seen)
    assert [line["step"] for line in log_of(tmp_path)] == [2, 4, 5]
    assert load_checkpoint(tmp_path / "last.ckpt")["step"] == trainer.step == 5


def test_losses_are_means_since_the_previous_line(uninterrupted, tmp_path):
    trained(tmp_path, report_every=3)
    every_step = [losses for _, losses in losses_of(uninterrupted)]
    for (_, means), three in zip(losses_of(tmp_path), (every_step[:3], every_step[3:]), strict=True):
        for name, mean in means.items():
            assert mean == pytest.approx(sum(losses[name] for losses in three) / 3, rel=1e-5)


def test_learning_rate_rises_and_falls(uninterrupted):
    peak, last = SETTINGS.learning_rate, SETTINGS.final_learning_rate
    middle = last + (peak - last) / 2
    rates = [line["learning_rate"] for line in log_of(uninterrupted)]  # for the next step
    assert rates[:2] == pytest.approx([peak, peak])
    assert rates[3] == pytest.approx(middle)
    assert rates[5] == pytest.approx(last)
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_average_follows_the_network(tmp_path):
    trainer = trained(tmp_path, replace(SETTINGS, num_steps=2, average_decay=0.0))
    assert_same(dict(trainer.average.state_dict()), dict(trainer.network.state_dict()))
    slow = trained(tmp_path, replace(SETTINGS, num_steps=2, average_decay=0.99))
    name = "model.0.conv.weight"
    assert not torch.equal(slow.average.state_dict()[name], slow.network.state_dict()[name])
    assert torch.equal(slow.network.state_dict()[name], trainer.network.state_dict()[name])


def test_other_seed_gives_another_run(uninterrupted, tmp_path):
    trained(tmp_path, replace(SETTINGS, num_steps=1, seed=1))
    assert losses_of(tmp_path)[0] != losses_of(uninterrupted)[0]


# ---- interrupted and resumed


def test_resumed_run_equals_an_uninterrupted_run(uninterrupted, tmp_path):
    with pytest.raises(Crash):
        trained(tmp_path, report=crash_at(3), checkpoint_seconds=0)
    assert load_checkpoint(tmp_path / "last.ckpt")["step"] == 2
    assert log_of(tmp_path)[-1]["step"] == 3
    trained(tmp_path, resume=True)
    assert losses_of(tmp_path) == losses_of(uninterrupted)
    assert_same(load_checkpoint(tmp_path / "last.ckpt"), load_checkpoint(uninterrupted / "last.ckpt"))


def test_resumed_run_in_half_precision(tmp_path):
    settings = replace(SETTINGS, half=True, num_steps=3)
    trained(tmp_path / "whole", settings)
    trained(tmp_path / "parts", settings, stop_after_seconds=0)
    trained(tmp_path / "parts", settings, resume=True)
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")
    assert_same(
        *(load_checkpoint(tmp_path / name / "last.ckpt")["network"] for name in ("parts", "whole")), path="network"
    )


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[2]))
from tests.support.training_runs import trained

def report(progress):
    if progress.step == 4:
        os.kill(os.getpid(), signal.SIGKILL)

trained(Path(sys.argv[1]), report=report, resume=True)
"""


def test_stopped_and_then_killed_run(uninterrupted, tmp_path):
    trained(tmp_path, stop_after_seconds=0)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(torch.get_num_threads())],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert load_checkpoint(tmp_path / "last.ckpt")["step"] == 1
    assert [line["step"] for line in log_of(tmp_path)] == [1, 2, 3, 4]
    trained(tmp_path, resume=True)
    assert losses_of(tmp_path) == losses_of(uninterrupted)
    assert_same(load_checkpoint(tmp_path / "last.ckpt"), load_checkpoint(uninterrupted / "last.ckpt"))


def test_finished_run_trains_no_further(folder, started):
    trainer = trainer_in(folder, replace(SETTINGS, num_steps=1), resume=True)
    assert trainer.run(pytest.fail)
    assert trainer.step == 1
    assert (folder / "last.ckpt").read_bytes() == started


def test_settings_override_the_weight_decay_of_the_checkpoint(folder, started):
    weights = []
    for weight_decay in (0.0, 0.9):
        (folder / "last.ckpt").write_bytes(started)
        trainer = trained(folder, replace(SETTINGS, num_steps=2, weight_decay=weight_decay), resume=True)
        weights.append(trainer.network.state_dict()["model.0.conv.weight"].abs().sum())
    assert weights[1] < weights[0]


@pytest.mark.parametrize(
    "end",
    [
        pytest.param('{"step": 2, "losses": {}}\n{"step": 3, "losses": {}}\n', id="repeated-steps"),
        pytest.param('{"step": 1, "los', id="truncated"),
        pytest.param("[]\n", id="foreign-line"),
    ],
)
def test_log_continues_at_the_step_of_the_checkpoint(folder, end):
    start = '{"step": 1, "losses": {}}\n'
    (folder / "losses.jsonl").write_text(start + end)
    trained(folder, replace(SETTINGS, num_steps=2), resume=True)
    assert [line["step"] for line in log_of(folder)] == [1, 2]


def test_new_run_starts_a_new_log(tmp_path):
    (tmp_path / "losses.jsonl").write_text('{"step": 1, "losses": {}}\n')
    trained(tmp_path, replace(SETTINGS, num_steps=1))
    assert len(log_of(tmp_path)) == 1
    assert log_of(tmp_path)[0]["losses"]


# ---- errors


@pytest.mark.parametrize(
    ("report_every", "message"),
    [
        pytest.param(1, "the loss is not finite at step", id="seen-in-the-loss"),
        pytest.param(1000, "of the network is not finite at step", id="seen-in-the-weights"),
    ],
)
def test_diverged_run_ends_and_keeps_its_checkpoint(folder, started, report_every, message):
    with pytest.raises(DataError) as caught:
        trained(
            folder,
            replace(SETTINGS, learning_rate=1e20),
            resume=True,
            report_every=report_every,
            checkpoint_seconds=0,
        )
    assert message in str(caught.value)
    assert "lower the learning rate and resume from" in str(caught.value)
    assert "\n" not in str(caught.value)
    state = load_checkpoint(folder / "last.ckpt")
    assert all(torch.isfinite(tensor).all() for tensor in state["network"].values())


def test_run_that_diverges_before_its_first_checkpoint(tmp_path):
    with pytest.raises(DataError, match="lower the learning rate and start again: there is no checkpoint yet"):
        trained(tmp_path, replace(SETTINGS, learning_rate=1e20), report_every=1)
    assert not (tmp_path / "last.ckpt").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_full_disk_at_the_first_checkpoint(tmp_path):
    (tmp_path / "last.partial").symlink_to("/dev/full")
    with pytest.raises(DataError, match="No space left on device; there is no previous checkpoint"):
        trained(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_full_disk_ends_the_run_and_keeps_its_checkpoint(folder, started):
    (folder / "last.partial").symlink_to("/dev/full")
    with pytest.raises(DataError, match="No space left on device; the previous checkpoint is intact"):
        trained(folder, resume=True)
    assert (folder / "last.ckpt").read_bytes() == started


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_unwritable_log_ends_the_run(folder, started):
    trainer = trainer_in(folder, resume=True)
    (folder / "losses.jsonl").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot write .*losses\.jsonl: No space left on device"):
        trainer.run(ignore, report_every=1)
    assert (folder / "last.ckpt").read_bytes() == started


class BrokenSource:
    def __len__(self) -> int:
        return 1

    def sample(self, index: int) -> Sample:
        raise DataError("image 1 is missing")


def test_unreadable_image_ends_the_run_and_keeps_its_checkpoint(folder, started):
    trainer = Trainer(SETTINGS, [BrokenSource()], [1.0], folder, num_workers=0, resume=True)
    with pytest.raises(DataError, match=r"^image 1 is missing$"):
        trainer.run(ignore)
    assert (folder / "last.ckpt").read_bytes() == started


@pytest.mark.parametrize(
    ("sources", "weights"),
    [
        pytest.param([], [], id="no-source"),
        pytest.param(SOURCES, [], id="no-weight"),
        pytest.param(SOURCES, [0.0], id="weight-0"),
    ],
)
def test_sources_and_weights_are_required(tmp_path, sources, weights):
    with pytest.raises(DataError, match="training requires sources with positive weights"):
        Trainer(SETTINGS, sources, weights, tmp_path)


def test_file_instead_of_folder_is_rejected(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(DataError, match="cannot write to the folder"):
        trainer_in(tmp_path / "run")


def test_resuming_without_checkpoint_creates_nothing(tmp_path):
    with pytest.raises(DataError, match="there is no checkpoint"):
        trainer_in(tmp_path / "run", resume=True)
    assert list(tmp_path.iterdir()) == []


def broken_state(**parts):
    return lambda state: state | parts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            broken_state(settings='{"size": "x"}'),
            "belongs to a network of size x, not to n",
            id="size",
        ),
        pytest.param(broken_state(settings="size: n"), "does not fit the network", id="settings-no-json"),
        pytest.param(broken_state(network={}), "does not fit the network", id="no-tensors"),
        pytest.param(broken_state(average={"a": torch.zeros(2)}), "does not fit the network", id="other-tensors"),
        pytest.param(
            broken_state(optimizer={"state": {}, "param_groups": []}), "does not fit the network", id="no-groups"
        ),
        pytest.param(broken_state(step="three"), "does not fit the network", id="step-is-text"),
    ],
)
def test_checkpoint_that_does_not_fit_is_rejected(folder, change, message):
    path = folder / "last.ckpt"
    save_checkpoint(change(load_checkpoint(path)), path)
    before = path.read_bytes()
    with pytest.raises(DataError) as caught:
        trainer_in(folder, resume=True)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_damaged_checkpoint_is_rejected(folder, started):
    (folder / "last.ckpt").write_bytes(started[:-100])
    with pytest.raises(DataError, match="is truncated or damaged"):
        trainer_in(folder, resume=True)
