"""Placement of cameras: capacity, stability, pins, overload."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.fleet.placement import MAX_PER_WORKER, RELIEF, Camera, Worker, loads_of, place

TWO = [Worker("w0"), Worker("w1")]


def camera(name: str, load: float, pin: str | None = None) -> Camera:
    return Camera(name, 10.0, load * 100.0, pin)


@pytest.mark.parametrize(
    ("cameras", "workers", "present", "expected"),
    [
        pytest.param({}, TWO, {}, {}, id="no-camera"),
        pytest.param({"a": 0.1}, [], {}, {}, id="no-worker"),
        pytest.param({"a": 0.2, "b": 0.2}, TWO, {}, {"a": "w0", "b": "w1"}, id="spread"),
        pytest.param({"a": 0.5, "b": 0.3, "c": 0.3}, TWO, {}, {"a": "w0", "b": "w1", "c": "w1"}, id="largest-first"),
        pytest.param({"a": 0.2, "b": 0.2}, TWO, {"a": "w1", "b": "w1"}, {"a": "w1", "b": "w1"}, id="stays"),
        pytest.param({"a": 0.2}, TWO, {"a": "gone", "x": "w0"}, {"a": "w0"}, id="worker-gone"),
        pytest.param({"a": 0.5, "b": 0.5}, TWO, {"a": "w0", "b": "w0"}, {"a": "w1", "b": "w0"}, id="relieved"),
        pytest.param(
            {"a": 0.6, "b": 0.25}, TWO, {"a": "w0", "b": "w0"}, {"a": "w0", "b": "w0"}, id="slightly-too-much-stays"
        ),
        pytest.param({"a": 2.0}, TWO, {"a": "w0"}, {"a": "w0"}, id="too-much-for-all-stays"),
        pytest.param({"a": 0.0}, TWO, {}, {"a": "w0"}, id="costs-nothing"),
    ],
)
def test_cases(cameras: dict[str, float], workers: list[Worker], present: dict[str, str], expected: dict[str, str]):
    assert place([camera(*one) for one in cameras.items()], workers, present) == expected


def test_faster_workers_get_more():
    workers = [Worker("slow"), Worker("fast", speed=3.0)]
    cameras = [camera(str(number), 0.1) for number in range(20)]
    placed = place(cameras, workers, {})
    loads = loads_of(cameras, workers, placed)
    assert list(placed.values()).count("fast") == 15
    assert loads["slow"] == pytest.approx(loads["fast"])


def test_pinned_cameras_wait_for_their_worker():
    cameras = [camera("a", 0.1, "w1"), camera("b", 2.0, "w1")]
    assert place(cameras, [Worker("w0")], {"a": "w0"}) == {}
    assert place(cameras, TWO, {"a": "w0"}) == {"a": "w1", "b": "w1"}


def test_files_are_not_moved_for_relief():
    files = [Camera(name, 10.0, 90.0, is_movable=False) for name in "ab"]
    assert place(files, TWO, {"a": "w0", "b": "w0"}) == {"a": "w0", "b": "w0"}
    assert place(files, TWO, {"a": "w0", "b": "gone"}) == {"a": "w0", "b": "w1"}
    cameras = [camera("a", 0.5), camera("b", 0.5)]
    assert place(cameras, TWO, {"a": "w0", "b": "w0"}, relieves=False) == {"a": "w0", "b": "w0"}


def test_overload():
    cameras = [camera(str(number), 0.5) for number in range(4)]
    assert len(place(cameras, TWO, {})) == 4
    assert len(place(cameras, TWO, {}, overload="leave_out")) == 2


def test_a_worker_holds_at_most_as_many_cameras_as_a_run():
    cameras = [camera(f"{number:03}", 0.0) for number in range(MAX_PER_WORKER + 1)]
    assert len(place(cameras, [Worker("w0")], {})) == MAX_PER_WORKER


NAMES = st.sampled_from([f"w{number}" for number in range(5)])
WORKERS = st.lists(
    st.builds(Worker, NAMES, st.floats(0.25, 4.0), st.floats(0.1, 1.0)), max_size=5, unique_by=lambda one: one.name
)
CAMERAS = st.lists(
    st.builds(Camera, st.text("abc", min_size=1, max_size=4), st.floats(0, 60), st.floats(0, 100), st.none() | NAMES),
    max_size=12,
    unique_by=lambda one: one.name,
)
PRESENT = st.dictionaries(st.text("abc", min_size=1, max_size=4), NAMES)


@given(CAMERAS, WORKERS, PRESENT, st.sampled_from(["share", "leave_out"]))
def test_properties(cameras: list[Camera], workers: list[Worker], present: dict[str, str], overload):
    placed = place(cameras, workers, present, overload=overload)
    names, by_name = {worker.name for worker in workers}, {one.name: one for one in cameras}
    assert set(placed) <= set(by_name)
    assert set(placed.values()) <= names
    assert all(by_name[name].pin in (None, worker) for name, worker in placed.items())
    able = [one for one in cameras if names and (one.pin is None or one.pin in names)]
    kept = {name for name, worker in placed.items() if present.get(name) == worker}
    if overload == "share":
        assert len(placed) == len(able)
    else:
        # Nothing that was placed anew exceeds a worker's maximum.
        loads = loads_of(cameras, workers, placed)
        for worker in workers:
            mine = {name for name, where in placed.items() if where == worker.name}
            assert loads[worker.name] <= worker.max_load * 1.0001 or not mine - kept
    # A camera leaves a worker that is there only if that one was overloaded.
    before = loads_of(cameras, workers, {name: where for name, where in present.items() if where in names})
    limits = {worker.name: RELIEF * worker.max_load for worker in workers}
    for one in able:
        where = present.get(one.name)
        if where in names and placed.get(one.name) != where and one.pin in (None, where):
            everything = before[where] + sum(other.work for other in cameras) / min(w.speed for w in workers)
            assert everything > limits[where] * 0.9999


@given(CAMERAS, WORKERS, PRESENT)
def test_a_placement_is_stable(cameras: list[Camera], workers: list[Worker], present: dict[str, str]):
    placed = place(cameras, workers, present)
    for _ in range(3):
        placed = place(cameras, workers, placed)
    assert place(cameras, workers, placed) == placed
