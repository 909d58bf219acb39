"""Decisions of the controller, with time as an argument and workers that only remember."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamseg.fleet.controller import Controller
from streamseg.fleet.placement import Worker
from streamseg.fleet.report import CameraReport, WorkerReport
from streamseg.fleet.suspects import Suspects
from tests.support.fleets import fleet_config


class FollowingWorker:
    """A worker that holds at once what it is given, and reports when it is told to."""

    error: str | None = None

    def __init__(self, name: str, *, fps: float = 10.0, cost_ms: float | None = 20.0) -> None:
        self.name = name
        self.num_starts = 1
        self.num_kills = 0
        self.heard: float | None = None
        self.held: list[str] = []
        self.refuses: set[str] = set()
        self._camera = CameraReport("live", fps, fps, cost_ms, 5, 0, 20.0)

    @property
    def was_ready(self) -> bool:
        return self.heard is not None

    def report(self, now: float, max_seconds: float) -> WorkerReport | None:
        if self.heard is None or now - self.heard > max_seconds:
            return None
        held = {name: self._camera for name in self.held if name not in self.refuses}
        refused = {name: f"no {name}" for name in self.held if name in self.refuses}
        return WorkerReport("x.0", 1, f"tcp://{self.name}", "0", 1, "here", held, refused)

    def want(self, sections: Sequence[Mapping[str, Any]]) -> None:
        self.held = [section["id"] for section in sections]

    def kill(self) -> None:
        self.num_kills += 1
        self.heard, self.held = None, []


class Fleet:
    """A controller of two such workers."""

    def __init__(self, *cameras: str, **changes: Any) -> None:
        self.workers = [FollowingWorker("w0"), FollowingWorker("w1")]
        self.publishers: list[Sequence[str]] = []
        config = fleet_config(*cameras, lost_seconds=4.0, start_seconds=10.0, **changes)
        links = {Worker(one.name): one for one in self.workers}
        self.controller = Controller(config, links, self.publishers.append)

    def at(self, now: float, *alive: int) -> Any:
        for number in alive:
            self.workers[number].heard = now
        return self.controller.tick(now)

    @property
    def held(self) -> list[list[str]]:
        return [worker.held for worker in self.workers]


def test_cameras_wait_until_all_workers_are_ready():
    fleet = Fleet("a", "b")
    assert fleet.at(0.0).workers[0].state == "starting"
    fleet.at(1.0, 0)
    assert fleet.held == [[], []]
    fleet.at(2.0, 0, 1)
    assert fleet.held == [["a"], ["b"]]
    assert fleet.publishers[-1] == ["tcp://w0", "tcp://w1"]


def test_cameras_do_not_wait_forever():
    fleet = Fleet("a", "b")
    fleet.at(0.0, 0)
    status = fleet.at(10.1, 0)
    assert fleet.held == [["a", "b"], []]
    assert [worker.state for worker in status.workers] == ["ready", "starting"]


def test_cameras_of_a_lost_worker_move_and_stay():
    fleet = Fleet("a", "b")
    fleet.at(0.0, 0, 1)
    fleet.at(3.9, 1)
    assert fleet.held == [["a"], ["b"]]
    fleet.at(4.1, 1)
    assert fleet.held == [[], ["a", "b"]]
    assert fleet.workers[0].num_kills == 1
    assert fleet.publishers[-1] == ["tcp://w1"]
    fleet.at(6.0, 0, 1)
    assert fleet.held == [[], ["a", "b"]], "what runs is not interrupted"


def test_a_camera_that_ends_its_workers_is_held_back():
    fleet = Fleet("a", "b", placement={"pins": {"a": "w0"}})
    now = 0.0
    for _ in range(3):
        fleet.at(now, 0, 1)
        assert "a" in fleet.held[0]
        fleet.workers[0].kill()  # by its camera
        fleet.at(now + 1.0, 1)
        now += 10.0
    status = fleet.at(now, 0, 1)
    assert fleet.held == [[], ["b"]], "b was never there"
    assert [camera.state for camera in status.cameras] == ["refused", "live"]
    assert "held back" in status.as_json()["cameras"][0]["error"]
    fleet.controller.apply(fleet_config("c", "b"))
    fleet.controller.apply(fleet_config("a", "b"))
    fleet.at(now + 1.0, 0, 1)
    assert "a" in fleet.held[0] + fleet.held[1], "it was removed and is another one now"


def test_a_camera_of_a_busy_machine_is_not_held_back():
    fleet = Fleet("a", "b", placement={"pins": {"a": "w0"}})
    now = 0.0
    for _ in range(5):
        fleet.at(now, 0, 1)
        fleet.at(now + 3.0, 1)
        fleet.at(now + 5.0, 1)
        now += 6.0
    assert fleet.workers[0].num_kills == 5
    fleet.at(now, 0, 1)
    assert "a" in fleet.held[0]


def test_a_suspect_is_tried_again_later():
    suspects = Suspects()
    for at in (0.0, 100.0, 200.0):
        suspects.lost(["a"], at)
    assert suspects.at(500.0) == {"a"}
    assert suspects.at(601.0) == frozenset()
    suspects.lost(["a"], 700.5)
    assert suspects.at(701.0) == frozenset(), "two within ten minutes"


def test_a_moving_camera_leaves_before_it_arrives():
    fleet = Fleet("a")
    fleet.at(0.0, 0, 1)
    fleet.controller.apply(fleet_config("a", placement={"pins": {"a": "w1"}}))
    fleet.at(1.0, 0, 1)
    assert fleet.held == [[], []]
    fleet.at(1.1, 0, 1)
    assert fleet.held == [[], ["a"]]


def test_measured_costs_decide():
    # 3 × 30 per second × 20 ms are 1.8 workers, with an expected cost of 1 ms.
    fleet = Fleet("a", "b", "c", placement={"cost_ms": 1.0, "pins": {"a": "w0"}})
    for worker in fleet.workers:
        worker._camera = CameraReport("live", 30.0, 30.0, 20.0, 5, 0, 20.0)
    status = fleet.at(0.0, 0, 1)
    assert sum(worker.load for worker in status.workers) < 0.1
    status = fleet.at(1.0, 0, 1)
    assert round(sum(worker.load for worker in status.workers), 3) == 1.8
    assert str(status).startswith("3/3 cameras live, 2/2 workers, 90.0 fps, highest load 150%")


def test_refused_cameras_are_reported_and_end_nothing():
    fleet = Fleet("a", "b")
    fleet.workers[0].refuses = {"a"}
    fleet.at(0.0, 0, 1)
    status = fleet.at(1.0, 0, 1)
    assert [camera.state for camera in status.cameras] == ["refused", "live"]
    assert not status.has_ended
    assert status.as_json()["cameras"][0]["error"] == "no a"


def test_the_end_of_all_cameras():
    fleet = Fleet("a")
    for worker in fleet.workers:
        worker._camera = CameraReport("ended", 0.0, 0.0, None, 5, 0, None)
    assert not fleet.at(0.0, 0, 1).has_ended
    status = fleet.at(1.0, 0, 1)
    assert status.has_ended
    assert status.num_frames == 5
