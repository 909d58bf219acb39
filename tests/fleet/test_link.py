"""The connection to one worker: heartbeats, restarts, forgotten cameras."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from streamseg.errors import StreamsegError
from streamseg.fleet.link import Link, Order, Sections, Unavailable
from streamseg.fleet.report import CameraReport, PromptReply, WorkerReport
from tests.support.waiting import wait_until

LIVE = CameraReport("live", 1.0, 1.0, 1.0, 1, 0, 1.0)


class ScriptedWorker:
    """A worker whose process may change, and whose calls may fail."""

    def __init__(self) -> None:
        self.incarnation = f"{secrets.token_hex(4)}.0"
        self.number = 0
        self.held: list[str] = []
        self.calls: list[Sections | None] = []
        self.prompts: list[tuple[int, Sections]] = []
        self.ends_for_certain = True
        self.errors: list[StreamsegError] = []
        self.is_closed = False
        self.killed = threading.Event()

    def exchange(self, order: Order, timeout_seconds: float) -> Mapping[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        heard, cameras, prompts = order
        assert (cameras, prompts) == (None, None) or heard is not None, "not before it has reported"
        if heard is not None and heard[0] != self.incarnation:
            cameras = prompts = None
        self.calls.append(cameras)
        if prompts is not None:
            self.prompts.append(prompts)
        if cameras is not None:
            self.held = [camera["id"] for camera in cameras]
        held = {name: LIVE for name in self.held if name != "bad"}
        refused = {name: "bad" for name in self.held if name == "bad"}
        self.number += 1
        reply = PromptReply(self.prompts[-1][0] if self.prompts else 0)
        return WorkerReport(self.incarnation, self.number, "tcp://x", "0", 1, "h", held, refused, reply).as_json()

    def restart(self) -> None:
        self.held, self.prompts, self.incarnation = [], [], self.incarnation + "+"

    def start_in_another_process(self) -> None:
        self.held, self.prompts, self.incarnation = [], [], "second.0"

    def kill(self) -> None:
        self.killed.set()
        self.errors.append(StreamsegError("killed"))

    def close(self) -> bool:
        self.is_closed = True
        return self.ends_for_certain


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


def link_of(create: Callable[[], ScriptedWorker], lost_seconds: float = 60.0) -> Link:
    return Link("w", create, heartbeat_seconds=0.02, lost_seconds=lost_seconds, start_seconds=60.0)


def held_by(link: Link) -> set[str] | None:
    report = link.report(time.monotonic(), 30.0)
    return None if report is None else set(report.cameras)


@pytest.fixture
def made() -> Made:
    return Made()


def test_cameras_are_sent_once(made: Made, no_thread_left: None):
    with link_of(made) as link:
        wait_until(lambda: link.was_ready)
        link.want([{"id": "a"}])
        wait_until(lambda: held_by(link) == {"a"})
        num_calls = len(made.workers[0].calls)
        wait_until(lambda: len(made.workers[0].calls) > num_calls + 3)
        link.want([{"id": "a"}])
    assert [call for call in made.workers[0].calls if call] == [({"id": "a"},)]
    assert made.workers[0].is_closed


def test_another_process_gets_the_cameras_again(made: Made, no_thread_left: None):
    with link_of(made) as link:
        wait_until(lambda: link.was_ready)
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
        wait_until(lambda: held_by(link) == set())
        made.workers[0].errors.append(StreamsegError("it has ended"))
        wait_until(lambda: len(made.workers) == 2 and held_by(link) is not None)
        assert made.workers[0].is_closed
        assert (link.num_starts, link.error) == (3, None)


def test_an_unavailable_worker_is_kept_but_not_counted_on(made: Made, no_thread_left: None):
    with link_of(made) as link:
        wait_until(lambda: held_by(link) == set())
        made.workers[0].errors += [Unavailable("restarting")] * 5
        wait_until(lambda: link.error == "restarting" and not link.was_ready)
        wait_until(lambda: link.was_ready and link.error is None)
    assert len(made.workers) == 1


def test_a_killed_worker_is_replaced(made: Made, no_thread_left: None):
    with link_of(made) as link:
        wait_until(lambda: held_by(link) == set())
        link.kill()
        assert made.workers[0].killed.is_set()
        wait_until(lambda: len(made.workers) == 2)
        link.begin_closing()


@pytest.mark.parametrize("fails", [Unavailable("restarting"), StreamsegError("its machine is lost")])
def test_another_process_gets_no_camera_before_the_lease_of_the_one_before_is_over(
    fails: StreamsegError, no_thread_left: None
):
    made = Made()
    lost_seconds = 1.0
    with link_of(made, lost_seconds) as link:
        wait_until(lambda: link.was_ready)
        link.want([{"id": "a"}])
        wait_until(lambda: held_by(link) == {"a"})
        first = made.workers[0]
        first.ends_for_certain = False
        first.start_in_another_process()
        first.errors.append(fails)
        wait_until(lambda: not link.was_ready)
        heard_at = link._reported_at
        wait_until(lambda: link.was_ready)
        assert link._reported_at - heard_at > lost_seconds
        wait_until(lambda: "a" in made.workers[-1].held)


def test_prompts_reach_the_worker_and_the_ones_after_it(made: Made, no_thread_left: None):
    with link_of(made) as link:
        wait_until(lambda: held_by(link) == set())
        assert link.prompts_reply(0, 0.0) == PromptReply(0)
        link.want_prompts(3, [{"id": "cup"}])
        assert link.prompts_reply(3, 60.0) == PromptReply(3)
        assert link.prompts_reply(4, 0.0) is None
        made.workers[0].restart()
        wait_until(lambda: made.workers[0].prompts == [(3, [{"id": "cup"}])])
        made.workers[0].errors.append(StreamsegError("it has ended"))
        wait_until(lambda: len(made.workers) == 2 and made.workers[1].prompts == [(3, [{"id": "cup"}])])


def test_a_new_process_does_not_get_the_cameras_that_went_to_others(made: Made, no_thread_left: None):
    with link_of(made) as link:
        wait_until(lambda: held_by(link) == set())
        wait_until(lambda: link.was_ready)
        link.want([{"id": "a"}])
        wait_until(lambda: held_by(link) == {"a"})
        made.workers[0].errors.append(StreamsegError("it has ended"))
        wait_until(lambda: held_by(link) is None)
        wait_until(lambda: held_by(link) is not None)
        num_calls = len(made.workers[1].calls)
        wait_until(lambda: len(made.workers[1].calls) > num_calls + 3)
        assert not any(made.workers[1].calls)
        link.want([{"id": "b"}])
        wait_until(lambda: held_by(link) == {"b"})
