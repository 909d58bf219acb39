import pytest

from streamseg.publish import ControlClient, ControlServer, Publisher, Subscriber
from streamseg.resources import Resource
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
    "kind", [Archive, BackgroundThread, ControlClient, ControlServer, Publisher, Subscriber, Viewer]
)
def test_classes_with_resources_use_base_class(kind):
    assert issubclass(kind, Resource)
    assert "__exit__" not in vars(kind)
