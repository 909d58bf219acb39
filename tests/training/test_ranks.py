import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from streamseg.errors import ConfigError
from streamseg.training.checkpoint import load_checkpoint
from streamseg.training.ranks import SINGLE_PROCESS, Ranks, join_ranks
from streamseg.training.trainer import Trainer
from tests.support.paths import REPOSITORY
from tests.support.training_runs import NUM_BATCHES, RANKS_SETTINGS, RANKS_SOURCES, losses_and_gradients, shares

pytestmark = pytest.mark.slow
"""Three processes are started, each of which imports torch."""

SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.support.training_runs import losses_and_gradients, train_in
from streamseg.training.ranks import join_ranks

folder = Path(sys.argv[1])
with join_ranks("cpu") as (ranks, device):
    assert (ranks.count, device) == (2, "cpu")
    assert ranks.broadcast(ranks.is_first, torch.device("cpu"))
    assert not ranks.broadcast(not ranks.is_first, torch.device("cpu"))
    found = losses_and_gradients(ranks)
    if ranks.is_first:
        torch.save(found, folder / "found.pt")
    assert train_in(folder / "whole", ranks)
    assert not train_in(folder / "parts", ranks, stop_after_seconds=0)
    assert train_in(folder / "parts", ranks, resume=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder written by two processes."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "script.py").write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(folder / "script.py"), str(folder)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_compute_the_gradient_of_one(folder):
    """Includes batches in which one of the two has no object."""
    together = torch.load(folder / "found.pt", weights_only=True)
    alone = losses_and_gradients(SINGLE_PROCESS)
    assert len(together) == len(alone) == NUM_BATCHES
    num_one_sided = sum(len(batch.image_indices.unique()) == 1 for batch in shares(SINGLE_PROCESS))
    assert 0 < num_one_sided < NUM_BATCHES
    for (losses, gradients), (expected_losses, expected) in zip(together, alone, strict=True):
        torch.testing.assert_close(losses, expected_losses, rtol=1e-5, atol=1e-6)
        assert sum(float(gradient.abs().sum()) for gradient in expected) > 1
        for gradient, one in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient, one, rtol=1e-3, atol=1e-5 * max(float(one.abs().max()), 1e-3))


def test_only_the_first_process_writes(folder):
    assert {file.name for file in (folder / "whole").iterdir()} == {"last.ckpt", "losses.jsonl"}
    steps = [json.loads(line)["step"] for line in (folder / "whole" / "losses.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3]


def test_two_processes_resume_exactly(folder):
    def losses(name):
        return [json.loads(line)["losses"] for line in (folder / name / "losses.jsonl").read_text().splitlines()]

    assert losses("parts") == losses("whole")
    parts, whole = (load_checkpoint(folder / name / "last.ckpt")["network"] for name in ("parts", "whole"))
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


# ---- shares


@pytest.mark.parametrize("count", [1, 2, 4])
def test_shares_add_up_to_the_batch(count):
    whole = list(shares(SINGLE_PROCESS, batch_size=4))
    parts = [list(shares(Ranks(rank, count), batch_size=4)) for rank in range(count)]
    for number, batch in enumerate(whole):
        mine = [part[number] for part in parts]
        assert torch.equal(torch.cat([one.images for one in mine]), batch.images)
        assert torch.equal(torch.cat([one.boxes for one in mine]), batch.boxes)
        assert torch.equal(torch.cat([one.masks for one in mine]), batch.masks)


def test_indivisible_batch_is_rejected(tmp_path):
    with pytest.raises(ConfigError, match="batch_size is 4; it must be a multiple of the 3 processes"):
        Trainer(RANKS_SETTINGS, RANKS_SOURCES, [1.0], tmp_path / "run", ranks=Ranks(0, 3))
    with pytest.raises(ConfigError, match="batch_size is 2; it must be at least 4 for images of 32 pixels"):
        Trainer(replace(RANKS_SETTINGS, batch_size=2), RANKS_SOURCES, [1.0], tmp_path / "run", ranks=Ranks(1, 2))
    assert not (tmp_path / "run").exists()


def test_single_process_communicates_nothing():
    values = torch.tensor([1.0, 2.0])
    assert SINGLE_PROCESS.sum(values) is values
    assert SINGLE_PROCESS.broadcast(True, torch.device("cpu"))
    assert not SINGLE_PROCESS.broadcast(False, torch.device("cpu"))
    assert SINGLE_PROCESS.is_first
    with join_ranks("cuda:3", {}) as (ranks, device):
        assert (ranks, device) == (SINGLE_PROCESS, "cuda:3")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        pytest.param("cuda:0", "torchrun started 2 processes; set device to cuda", id="one-device-for-all"),
        pytest.param("cuda", "start one process per GPU", id="more-processes-than-devices"),
    ],
)
def test_every_process_requires_its_own_device(device, message):
    environment = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "99"}
    with pytest.raises(ConfigError, match=message), join_ranks(device, environment):
        pytest.fail("joined")
