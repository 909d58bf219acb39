"""The connection to one worker: heartbeats, restarts, forgotten cameras."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from streamseg.errors import StreamsegError
from streamseg.fleet.link import Link, Sections, Unavailable
from streamseg.fleet.report import CameraReport, WorkerReport
from tests.support.waiting import wait_until

LIVE = CameraReport("live", 1.0, 1.0, 1.0, 1, 0, 1.0)


class ScriptedWorker:
    """A worker whose process may change, and whose calls may fail."""

    def __init__(self) -> None:
        self.incarnation = "first"
        self.held: list[str] = []
        self.calls: list[Sections | None] = []
        self.errors: list[StreamsegError] = []
        self.is_closed = False
        self.killed = threading.Event()

    def exchange(self, cameras: Sections | None, timeout_seconds: float) -> Mapping[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        self.calls.append(cameras)
        if cameras is not None:
            self.held = [camera["id"] for camera in cameras]
        held = {name: LIVE for name in self.held if name != "bad"}
        refused = {name: "bad" for name in self.held if name == "bad"}
        return WorkerReport(self.incarnation, "tcp://x", "0", 1, "h", held, refused).as_json()

    def restart(self) -> None:
        self.held, self.incarnation = [], self.incarnation + "+"

    def kill(self) -> None:
        self.killed.set()
        self.errors.append(StreamsegError("killed"))

    def close(self) -> None:
        self.is_closed = True


class Made:
    """The workers that a link has created."""

    def __init__(self, *failures: StreamsegError) -> None:
        self.workers: list[ScriptedWorker] = []
        self._failures = list(failures)

    def __call__(self) -> ScriptedWorker:
        if self._failures:
            raise self._failures.pop(0)
        self.workers.append(ScriptedWorker())
        return self.workers[-1]


def link_of(create: Callable[[], ScriptedWorker]) -> Link:
    return Link("w", create, heartbeat_seconds=0.02, reply_seconds=5.0, start_seconds=60.0)


def held_by(link: Link) -> set[str] | None:
    report = link.report(time.monotonic(), 30.0)
    return None if report is None else set(report.cameras)


@pytest.fixture
def made() -> Made:
    return Made()


def test_cameras_are_sent_once(made: Made, no_thread_left: None):
    with link_of(made) as link:
        link.want([{"id": "a"}])
        wait_until(lambda: held_by(link) == {"a"})
        num_calls = len(made.workers[0].calls)
        wait_until(lambda: len(made.workers[0].calls) > num_calls + 3)
        link.want([{"id": "a"}])
    assert [call for call in made.workers[0].calls if call] == [({"id": "a"},)]
    assert made.workers[0].is_closed


def test_another_process_gets_the_cameras_again(made: Made, no_thread_left: None):
    with link_of(made) as link:
        link.want([{"id": "a"}])
        wait_until(lambda: held_by(link) == {"a"})
        made.workers[0].restart()
        wait_until(lambda: (report := link.report(time.monotonic(), 30.0)) is not None and "+" in report.incarnation)
        wait_until(lambda: held_by(link) == {"a"})
    assert link.num_starts == 1


def test_a_refused_camera_is_tried_again(made: Made, no_thread_left: None):
    with link_of(made) as link:
        link.want([{"id": "bad"}])
        wait_until(lambda: len([call for call in made.workers[0].calls if call] if made.workers else []) > 3)


def test_a_worker_that_fails_is_created_again(no_thread_left: None):
    made = Made(StreamsegError("no room"))
    with link_of(made) as link:
        link.want([{"id": "a"}])
        wait_until(lambda: held_by(link) == {"a"})
        made.workers[0].errors.append(StreamsegError("it has ended"))
        wait_until(lambda: len(made.workers) == 2 and held_by(link) == {"a"})
        assert made.workers[0].is_closed
        assert (link.num_starts, link.error) == (3, None)


def test_an_unavailable_worker_is_kept_but_not_counted_on(made: Made, no_thread_left: None):
    with link_of(made) as link:
        wait_until(lambda: held_by(link) == set())
        made.workers[0].errors += [Unavailable("restarting")] * 5
        wait_until(lambda: link.error == "restarting" and not link.was_ready)
        wait_until(lambda: held_by(link) == set())
    assert len(made.workers) == 1


def test_a_killed_worker_is_replaced(made: Made, no_thread_left: None):
    with link_of(made) as link:
        wait_until(lambda: held_by(link) == set())
        link.kill()
        assert made.workers[0].killed.is_set()
        wait_until(lambda: len(made.workers) == 2)
        link.begin_closing()
