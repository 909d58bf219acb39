"""A fleet of processes behind one address: cameras arrive, survive lost workers, and move."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streamseg.config import FleetConfig
from streamseg.errors import DataError
from streamseg.fleet.local import local_workers
from streamseg.fleet.session import open_fleet
from streamseg.fleet.workers import Machine, plan_workers, share_gpus
from streamseg.publish import ControlClient, Subscriber
from tests.support.fleet_workers import PretendWorker
from tests.support.fleets import RunningFleet, fleet_config, wait_for_sources, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


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
