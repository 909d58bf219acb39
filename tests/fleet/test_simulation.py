"""Simulated fleets: capacity, failures, a thousand cameras."""

from __future__ import annotations

import pytest

from streamseg.fleet.placement import Camera, Worker
from streamseg.fleet.simulation import Failure, SimulatedFleet, num_workers_for, simulate


def fleet(num_cameras: int, num_hosts: int, per_host: int = 2, *, work: float = 0.1, **changes) -> SimulatedFleet:
    names = [f"h{host}w{number}" for host in range(num_hosts) for number in range(per_host)]
    return SimulatedFleet(
        tuple(Camera(f"c{number:04}", 10.0, work * 100.0) for number in range(num_cameras)),
        tuple(Worker(name) for name in names),
        {name: name.partition("w")[0] for name in names},
        **changes,
    )


def test_without_a_failure_nothing_moves():
    result = simulate(fleet(20, 2), [], 60.0)
    assert result.num_moves == 0
    assert result.loads == pytest.approx((0.5, 0.5, 0.5, 0.5))
    # All frames but those of the first second, in which the cameras are opened.
    assert result.processed_frames == pytest.approx(result.offered_frames * 59 / 60)


def test_cameras_of_a_lost_machine_are_back_after_the_heartbeat_and_the_opening():
    result = simulate(fleet(20, 3), [Failure("h1", 20.0, 10.0)], 90.0)
    (failure,) = result.failures
    assert failure.num_cameras == 6
    assert failure.num_missing == 0
    assert max(failure.back_seconds) <= 4.0 + 2 * 1.0 + 1.0
    assert result.num_moves == 0
    assert result.worst_load <= 0.8


def test_too_few_machines_share_the_load_and_are_relieved_when_one_returns():
    result = simulate(fleet(26, 2), [Failure("h0", 10.0, 20.0)], 120.0)
    assert result.failures[0].num_missing == 0
    assert result.worst_load == pytest.approx(1.3)
    assert result.num_moves > 0
    assert 0.85 < result.processed_frames / result.offered_frames < 1.0


def test_cameras_that_are_left_out_wait_for_the_machine():
    result = simulate(fleet(26, 2, overload="leave_out"), [Failure("h0", 10.0, 20.0)], 120.0)
    (failure,) = result.failures
    assert result.worst_load <= 0.8001
    assert failure.num_missing == 0
    assert max(failure.back_seconds) >= 50.0


def test_without_any_machine():
    result = simulate(fleet(2, 1), [Failure("h0", 5.0, 100.0)], 60.0)
    assert result.failures[0].num_missing == 2
    assert result.as_json()["failures"][0]["back_max_seconds"] is None


@pytest.mark.parametrize(
    ("num_cameras", "per_host", "spare", "expected"),
    [(8, 1, 0, 1), (9, 1, 0, 2), (9, 4, 0, 4), (9, 4, 1, 8), (0, 2, 0, 2)],
)
def test_number_of_workers(num_cameras: int, per_host: int, spare: int, expected: int):
    cameras = [Camera(str(number), 10.0, 9.99) for number in range(num_cameras)]
    assert num_workers_for(cameras, Worker("w"), per_host=per_host, num_spare_hosts=spare) == expected


@pytest.mark.slow
def test_a_thousand_cameras_with_two_machines_lost():
    failures = [Failure("h3", 20.0, 20.0), Failure("h7", 60.0, 20.0)]
    result = simulate(fleet(1000, 34, 4), failures, 100.0)
    assert [one.num_missing for one in result.failures] == [0, 0]
    assert max(max(one.back_seconds) for one in result.failures) <= 7.0
    assert result.num_moves == 0
    assert result.worst_load <= 0.8001
