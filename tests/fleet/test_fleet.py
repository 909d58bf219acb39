"""A fleet of processes behind one address: cameras arrive, survive lost workers, and move."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streamseg.config import FleetConfig
from streamseg.errors import DataError, PublishError
from streamseg.fleet.link import Order, RemoteWorker
from streamseg.fleet.local import local_workers
from streamseg.fleet.process import ProcessError
from streamseg.fleet.session import open_fleet
from streamseg.fleet.workers import Machine, PlannedWorker, plan_workers, share_gpus
from streamseg.publish import ClientKeys, ControlClient, Subscriber
from streamseg.publish.keys import create_key_files
from tests.support.fleet_workers import PretendWorker
from tests.support.fleets import RunningFleet, fleet_config, wait_for_sources, wait_until

pytestmark = pytest.mark.slow


@contextmanager
def running(config: FleetConfig) -> Iterator[RunningFleet]:
    planned = share_gpus(plan_workers(config, [Machine("127.0.0.1", 4.0, 0)]), 0)
    workers = local_workers(config, planned, PretendWorker)
    with open_fleet(config, workers) as session:
        fleet = RunningFleet(session)
        try:
            yield fleet
        finally:
            fleet.stop()


def test_two_workers_publish_at_one_address(no_thread_left: None):
    with running(fleet_config("a", "b")) as fleet, Subscriber(fleet.session.endpoint) as subscriber:
        wait_for_sources(subscriber, "a", "b")
        wait_until(lambda: fleet.are_live("a", "b"))
        assert {fleet.camera("a").worker, fleet.camera("b").worker} == {"w0", "w1"}
        assert fleet.session.control_endpoint is not None
        with ControlClient(fleet.session.control_endpoint) as control:
            found = control.call("fleet.status")
            with pytest.raises(DataError, match="unknown argument"):
                control.call("fleet.status", {"x": 1})
        assert [camera["id"] for camera in found["cameras"]] == ["a", "b"]
        assert [worker["state"] for worker in found["workers"]] == ["ready", "ready"]


def test_cameras_of_a_killed_worker_are_back(no_thread_left: None):
    with running(fleet_config("a", "b", "c")) as fleet, Subscriber(fleet.session.endpoint) as subscriber:
        wait_until(lambda: fleet.are_live("a", "b", "c"))
        wait_for_sources(subscriber, "a", "b", "c")
        lost = fleet.camera("a").worker
        reports = {name: link.report(0.0, float("inf")) for name, link in fleet.session.controller.links.items()}
        os.kill(reports[lost].pid, signal.SIGKILL)
        wait_until(lambda: fleet.camera("a").worker != lost)
        wait_for_sources(subscriber, "a", "b", "c")
        wait_until(lambda: all(worker.state == "ready" for worker in fleet.status.workers))
        assert sum(worker.num_restarts for worker in fleet.status.workers) == 1


def test_a_hung_worker_is_replaced(no_thread_left: None):
    config = fleet_config("a", "b", lost_seconds=2.0)
    with running(config) as fleet, Subscriber(fleet.session.endpoint) as subscriber:
        wait_until(lambda: fleet.are_live("a", "b"))
        hung = fleet.camera("b").worker
        os.kill(fleet.session.controller.links[hung].report(0.0, float("inf")).pid, signal.SIGSTOP)
        wait_until(lambda: fleet.camera("b").worker != hung)
        wait_for_sources(subscriber, "a", "b")


def test_changes_of_the_configuration(no_thread_left: None):
    with running(fleet_config("a", "b")) as fleet, Subscriber(fleet.session.endpoint) as subscriber:
        wait_until(lambda: fleet.are_live("a", "b"))
        moved_to = fleet.camera("b").worker
        values = fleet_config("a", "c", placement={"pins": {"a": moved_to}}, heartbeat_seconds=0.2)
        changes = fleet.session.controller.apply(values)
        assert changes == ["added c", "removed b", "changed placement", "heartbeat_seconds needs a restart"]
        wait_until(lambda: fleet.are_live("a", "c") and fleet.camera("a").worker == moved_to)
        wait_for_sources(subscriber, "a", "c")
        assert [camera.name for camera in fleet.status.cameras] == ["a", "c"]
        assert fleet.session.controller.apply(values) == ["heartbeat_seconds needs a restart"]


def test_a_camera_that_cannot_be_opened_disturbs_no_other(no_thread_left: None):
    cameras = [{"type": "scene", "id": "a"}, {"type": "scene", "id": "b", "frame_id": "refused"}]
    with running(fleet_config(cameras=cameras)) as fleet:
        wait_until(lambda: fleet.are_live("a") and fleet.camera("b").state == "refused")
        assert fleet.camera("b").refusal == "no b"
        assert not fleet.status.has_ended


def test_prompts_at_the_address_of_the_fleet(no_thread_left: None):
    with running(fleet_config("a", "b")) as fleet:
        wait_until(lambda: fleet.are_live("a", "b"))
        with ControlClient(fleet.session.control_endpoint, timeout_seconds=600) as control:
            cup = {"id": "cup", "source": "a", "points": [[10, 20]], "labels": [1]}
            reply = control.call("prompts.set", {"prompts": [cup]})
            assert [prompt["id"] for prompt in reply["prompts"]] == ["everything", "cup"]

            def states() -> dict[str, list[str]]:
                found = control.call("prompts.list")["states"]
                return {camera: [status["id"] for status in mine] for camera, mine in found.items()}

            wait_until(lambda: states() == {"a": ["everything", "cup"], "b": ["everything"]})
            lost = fleet.camera("a").worker
            os.kill(fleet.session.controller.links[lost].report(0.0, float("inf")).pid, signal.SIGKILL)
            wait_until(lambda: fleet.camera("a").worker != lost and fleet.are_live("a", "b"))
            wait_until(lambda: states() == {"a": ["everything", "cup"], "b": ["everything"]})
            wait_until(lambda: all(worker.state == "ready" for worker in fleet.status.workers))
            control.call("prompts.clear", {"ids": ["everything"]})
            wait_until(lambda: states() == {"a": ["cup"], "b": []})
            with pytest.raises(DataError, match=r"prompts.set: prompt 'unloadable' cannot be loaded$"):
                control.call("prompts.set", {"prompts": [{"id": "unloadable"}]})
            with pytest.raises(DataError, match="unknown source 'c'; sources are a, b"):
                control.call("prompts.set", {"prompts": [{**cup, "source": "c"}]})
            assert [prompt["id"] for prompt in control.call("prompts.list")["prompts"]] == ["cup"]


class CutWorker:
    """A worker in a process, behind a link that can be cut: then nothing reaches it, not even SIGKILL."""

    def __init__(self, is_cut: threading.Event, create: Callable[[], RemoteWorker]) -> None:
        self._is_cut = is_cut
        self._worker = create()
        self._ended = threading.Event()

    def exchange(self, order: Order, timeout_seconds: float) -> Mapping[str, Any]:
        if self._is_cut.is_set():
            self._ended.wait(timeout_seconds)
            raise ProcessError(f"it did not answer within {timeout_seconds:g} s")
        return self._worker.exchange(order, timeout_seconds)

    def kill(self) -> None:
        self._ended.set()
        if not self._is_cut.is_set():
            self._worker.kill()

    def close(self) -> bool:
        return not self._is_cut.is_set() and self._worker.close()


def test_no_camera_is_opened_twice_when_a_worker_cannot_be_reached(tmp_path: Path, no_thread_left: None):
    locks = {name: tmp_path / name for name in "abc"}
    cameras = [{"type": "scene", "id": name, "frame_id": str(path)} for name, path in locks.items()]
    config = fleet_config(cameras=cameras, lost_seconds=3.0)
    planned = share_gpus(plan_workers(config, [Machine("127.0.0.1", 4.0, 0)]), 0)
    created: list[CutWorker] = []
    cuts = {worker.name: threading.Event() for worker in planned}

    def cut(worker: PlannedWorker, create: Callable[[], RemoteWorker]) -> CutWorker:
        created.append(CutWorker(cuts[worker.name], create))
        return created[-1]

    local = local_workers(config, planned, PretendWorker)
    workers = {worker: partial(cut, worker, create) for worker, create in local.items()}
    try:
        with open_fleet(config, workers) as session:
            fleet = RunningFleet(session)
            try:
                wait_until(lambda: fleet.are_live("a", "b", "c"))
                lost = fleet.camera("a").worker
                cuts[lost].set()
                wait_until(lambda: fleet.camera("a").worker != lost and fleet.are_live("a", "b", "c"))
                cuts[lost].clear()
                wait_until(lambda: all(worker.state == "ready" for worker in fleet.status.workers))
                assert fleet.are_live("a", "b", "c")
            finally:
                fleet.stop()
    finally:
        for worker in created:
            worker.close()
    assert not list(tmp_path.glob("*.twice"))


def test_an_encrypted_fleet_admits_those_it_knows(tmp_path: Path, no_thread_left: None):
    files = {name: create_key_files(tmp_path, name) for name in ("fleet", "reader", "operator", "stranger")}
    server, secret = files["fleet"]
    curve = {"secret_key": str(secret), "read": [str(files["reader"][0])], "control": [str(files["operator"][0])]}
    publish = {"endpoint": "tcp://127.0.0.1:0", "control_endpoint": "tcp://127.0.0.1:0", "curve": curve}
    keys = {name: ClientKeys.load(own, server) for name, (_, own) in files.items()}
    with running(fleet_config("a", "b", publish=publish)) as fleet:
        session = fleet.session
        with Subscriber(session.endpoint, keys=keys["reader"]) as subscriber:
            wait_for_sources(subscriber, "a", "b")
        with ControlClient(session.control_endpoint, keys=keys["operator"], timeout_seconds=600) as control:
            assert [one["id"] for one in control.call("fleet.status")["cameras"]] == ["a", "b"]
            assert control.call("prompts.set", {"prompts": [{"id": "cup", "box": [1, 2, 3, 4]}]})["prompts"][1:]
        for name in ("reader", "stranger"):
            with (
                ControlClient(session.control_endpoint, keys=keys[name], timeout_seconds=3) as control,
                pytest.raises(PublishError, match=r"refused the connection|no reply"),
            ):
                control.call("fleet.status")
        workers = [link.report(0.0, float("inf")) for link in session.controller.links.values()]
        with Subscriber(workers[0].endpoint, keys=keys["reader"]) as stranger:
            assert not stranger.wait_connected(1.0), "a worker admits the proxy only"
