import os
from pathlib import Path

import pytest

from streamseg.errors import DataError
from streamseg.publish import ControlClient, ControlServer, Publisher, Subscriber
from streamseg.resources import OutputLock, Resource
from streamseg.runtime.background import BackgroundThread
from streamseg.viewer import Viewer
from streamseg.weights.checkpoint.archive import Archive


class Door(Resource):
    def __init__(self) -> None:
        self.num_closed = 0

    def close(self) -> None:
        self.num_closed += 1


def test_block_receives_resource_and_closes_it():
    door = Door()
    with door as entered:
        assert entered is door
        assert door.num_closed == 0
    assert door.num_closed == 1


def test_error_closes_resource_and_propagates():
    door = Door()
    with pytest.raises(KeyError, match="lost"), door:
        raise KeyError("lost")
    assert door.num_closed == 1


def test_class_without_close_cannot_be_instantiated():
    class Wall(Resource):
        pass

    with pytest.raises(TypeError, match="close"):
        Wall()


@pytest.mark.parametrize(
    "kind", [Archive, BackgroundThread, ControlClient, ControlServer, OutputLock, Publisher, Subscriber, Viewer]
)
def test_classes_with_resources_use_base_class(kind):
    assert issubclass(kind, Resource)
    assert "__exit__" not in vars(kind)


# ---- claims of output paths


@pytest.mark.parametrize("exists", [True, False])
def test_claim_excludes_others_until_it_is_released(tmp_path: Path, exists: bool):
    path = tmp_path / "out.jsonl"
    if exists:
        path.write_text("an earlier run")
    with OutputLock(path) as lock:
        with pytest.raises(DataError, match=r"out\.jsonl is being written by another run; choose another path"):
            OutputLock(path)
        OutputLock(tmp_path / "other.jsonl").close()
        lock.close()
        OutputLock(path).close()
    assert [found.name for found in tmp_path.iterdir()] == (["out.jsonl"] if exists else [])


def test_pipes_may_have_several_writers(tmp_path: Path):
    os.mkfifo(pipe := tmp_path / "pipe")
    with OutputLock(pipe), OutputLock(pipe):
        assert [found.name for found in tmp_path.iterdir()] == ["pipe"]


def test_claim_in_a_missing_folder_is_an_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        OutputLock(tmp_path / "missing" / "out.jsonl")
