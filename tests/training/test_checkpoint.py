import io
import os
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch

from streamseg.errors import DataError
from streamseg.training.checkpoint import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.slow

STATE = {
    "step": 7,
    "settings": '{"size": "n"}',
    "network": {"model.0.weight": torch.arange(300.0).reshape(3, 100), "counter": torch.tensor(4)},
    "average": {"model.0.weight": torch.ones(3, 100).to(torch.bfloat16)},
    "optimizer": {"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "last.ckpt"
    save_checkpoint(STATE, path)
    return path


def test_round_trip(saved):
    state = load_checkpoint(saved)
    assert state.keys() == STATE.keys()
    assert (state["step"], state["settings"]) == (7, '{"size": "n"}')
    assert torch.equal(state["network"]["model.0.weight"], STATE["network"]["model.0.weight"])
    assert state["average"]["model.0.weight"].dtype == torch.bfloat16
    assert state["optimizer"]["param_groups"] == STATE["optimizer"]["param_groups"]
    assert [file.name for file in saved.parent.iterdir()] == ["last.ckpt"]


def test_next_checkpoint_replaces_it(saved):
    save_checkpoint(STATE | {"step": 8}, saved)
    assert load_checkpoint(saved)["step"] == 8


def test_partial_file_of_a_killed_writer_is_harmless(saved):
    (saved.parent / "last.partial").write_bytes(saved.read_bytes()[:1000])
    assert load_checkpoint(saved)["step"] == 7
    save_checkpoint(STATE | {"step": 8}, saved)
    assert load_checkpoint(saved)["step"] == 8
    assert [file.name for file in saved.parent.iterdir()] == ["last.ckpt"]


# ---- writing fails


def full_disk(partial: Path) -> None:
    partial.symlink_to("/dev/full")


def missing_folder(partial: Path) -> None:
    partial.symlink_to(partial.parent / "nowhere" / "x")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(full_disk, "No space left on device", id="full-disk"),
        pytest.param(missing_folder, "No such file or directory", id="missing-folder"),
    ],
)
@pytest.mark.parametrize("num_values", [3, 3_000_000])
def test_previous_checkpoint_survives_a_failure(saved, prepare, message, num_values):
    before = saved.read_bytes()
    prepare(saved.parent / "last.partial")
    with pytest.raises(DataError) as caught:
        save_checkpoint(STATE | {"network": {"large": torch.zeros(num_values)}}, saved)
    assert message in str(caught.value)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == ["last.ckpt"]


def test_folder_at_the_partial_path(saved):
    (saved.parent / "last.partial").mkdir()
    with pytest.raises(DataError, match="Is a directory"):
        save_checkpoint(STATE, saved)
    assert load_checkpoint(saved)["step"] == 7


def test_missing_folder_on_write(tmp_path):
    with pytest.raises(DataError, match="No such file or directory"):
        save_checkpoint(STATE, tmp_path / "nowhere" / "last.ckpt")


# ---- reading fails


def archive_with(path, content):
    """Replace the pickle in a zip archive written by torch."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in parts if name.endswith("data.pkl"))
    parts[name] = content
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


def torch_file(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "not a checkpoint", id="empty"),
        pytest.param(b"hello", "not a checkpoint", id="text"),
        pytest.param(pickle.dumps({"step": 1}), "not a checkpoint", id="plain-pickle"),
        pytest.param(torch_file([1, 2]), "lacks parts", id="a-list"),
        pytest.param(torch_file({"step": 1}), "lacks parts", id="parts-missing"),
        pytest.param(torch_file(torch.zeros(3)), "lacks parts", id="a-tensor"),
        pytest.param(torch_file({"step": Path("x")}), "not a checkpoint", id="objects-of-other-kinds"),
    ],
)
def test_foreign_files_are_rejected(tmp_path, content, message):
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_checkpoint(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_checkpoint(tmp_path):
    with pytest.raises(DataError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "last.ckpt")


def test_folder_is_rejected(tmp_path):
    with pytest.raises(DataError, match="Is a directory"):
        load_checkpoint(tmp_path)


def test_truncated_checkpoint_is_rejected(saved):
    content = saved.read_bytes()
    for length in range(0, len(content), 97):
        saved.write_bytes(content[:length])
        with pytest.raises(DataError):
            load_checkpoint(saved)


def test_flipped_bit_in_a_tensor_is_detected(saved):
    content = bytearray(saved.read_bytes())
    position = content.index(torch.arange(300.0).numpy().tobytes()) + 400
    content[position] ^= 1
    saved.write_bytes(content)
    with pytest.raises(DataError, match=r"is damaged: the checksum of .* is wrong"):
        load_checkpoint(saved)


@pytest.mark.filterwarnings("ignore::UserWarning")  # from torch, about the resulting protocols
def test_mangled_pickle_is_rejected_or_read(saved):
    with zipfile.ZipFile(saved) as archive:
        original = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    rng = random.Random(0)
    num_rejected = 0
    for _ in range(300):
        mangled = bytearray(original)
        for _ in range(rng.randint(1, 4)):
            mangled[rng.randrange(len(mangled))] = rng.randrange(256)
        archive_with(saved, bytes(mangled))
        try:
            load_checkpoint(saved)
        except DataError:
            num_rejected += 1
    assert num_rejected > 200


class Canary:
    """Creates a folder when unpickled by a reader that executes code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_no_code_in_a_checkpoint_is_executed(saved, tmp_path):
    canary = tmp_path / "canary"
    hostile = STATE | {"network": Canary(canary)}
    pickle.loads(pickle.dumps(hostile["network"]))  # verify that it works
    assert canary.is_dir()
    canary.rmdir()
    for content in (torch_file(hostile), pickle.dumps(hostile)):
        saved.write_bytes(content)
        with pytest.raises(DataError):
            load_checkpoint(saved)
        assert not canary.exists()
    save_checkpoint(STATE, saved)
    archive_with(saved, pickle.dumps(hostile, protocol=2))
    with pytest.raises(DataError):
        load_checkpoint(saved)
    assert not canary.exists()
