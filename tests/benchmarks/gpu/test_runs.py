"""Plans carried out by workers that fail, hang and lack modes, with a clock of the test's own."""

import json
from dataclasses import dataclass, field

import pytest

from benchmarks.gpu.cases import CASES
from benchmarks.gpu.plan import MODES, planned
from benchmarks.gpu.runs import Settings, carry_out, write_json
from benchmarks.gpu.workers import Outcome

OUT_OF_MEMORY = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
MISSING = "engine tensorrt needs TensorRT 10 or newer"


@dataclass
class Machine:
    """Workers that take as long as they are given, and a clock."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """By name of the measurement; measured otherwise."""
    durations: dict[str, float] = field(default_factory=dict)
    """By name; the share otherwise."""
    now: float = 1000.0
    requests: list[str] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    num_starts: int = 0
    num_stops: int = 0
    killed_in: str = ""
    """Name of a measurement in which the whole run is killed."""

    def start(self):
        self.num_starts += 1
        self.is_usable = True
        return self

    def measure(self, request):
        name = request.measurement.name
        self.requests.append(name)
        self.limits.append(request.limit_seconds)
        if name == self.killed_in:
            raise KeyboardInterrupt
        self.now += min(self.durations.get(name, request.seconds), request.limit_seconds)
        outcome = self.outcomes.get(name, Outcome("measured", {"value": name}))
        self.is_usable = outcome.state != "failed"
        return outcome

    def stop(self):
        self.num_stops += 1


def carry(machine, *, cases=CASES, modes=MODES, seconds=330.0, saved=None, told=None):
    return carry_out(
        planned(cases, modes),
        Settings("cuda", 50, 100, seconds),
        start=machine.start,
        save=(saved if saved is not None else []).append,
        tell=(told if told is not None else []).append,
        describe=lambda record: f"{record['case']} {record['kind']} {record['mode']} {record['state']}",
        clock=lambda: machine.now,
    )


def states(records):
    return {f"{one['case']} {one['kind']} {one['mode']}": one["state"] for one in records}


def test_everything_is_measured_in_order_by_one_worker():
    machine, told = Machine(), []
    records = carry(machine, told=told)
    assert set(states(records).values()) == {"measured"}
    assert machine.requests == [one.name for one in planned(CASES, MODES)]
    assert (machine.num_starts, machine.num_stops) == (1, 1)
    assert len(told) == len(records)
    assert machine.now <= 1000 + 330 + 1e-6


def test_out_of_memory_costs_one_measurement_and_a_worker():
    machine = Machine({"x4 frames graph": Outcome("failed", reason=OUT_OF_MEMORY)})
    records = carry(machine)
    failed = [one for one in records if one["state"] == "failed"]
    assert [(one["case"], one["mode"], one["reason"]) for one in failed] == [("x4", "graph", OUT_OF_MEMORY)]
    assert states(records)["x4 stages graph"] == states(records)["s8 check graph"] == "measured"
    assert machine.num_starts == 2


def test_missing_mode_is_reported_in_one_line_and_not_tried_again():
    machine, told = Machine({"x1 frames tensorrt": Outcome("unavailable", reason=MISSING)}), []
    records = carry(machine, told=told)
    missing = [one for one in records if one["mode"] == "tensorrt"]
    assert len(missing) == 5
    assert {(one["state"], one["reason"]) for one in missing} == {("unavailable", MISSING)}
    assert [line for line in told if "tensorrt" in line] == ["x1 frames tensorrt unavailable"]
    assert [name for name in machine.requests if "tensorrt" in name] == ["x1 frames tensorrt"]
    assert states(records)["s8 frames onnx"] == "measured"


def test_hang_takes_its_limit_and_the_rest_is_measured_with_less_time():
    machine = Machine(
        {"x1 check": Outcome("failed", reason="no result within 95 s")}, durations={"x1 check": float("inf")}
    )
    records = carry(machine)
    assert machine.limits[0] < 120
    assert [one["kind"] for one in records if one["state"] != "measured"] == ["check"]
    assert machine.now <= 1000 + 330 + 1e-6


def test_plans_that_are_never_built_leave_time_for_graphs_and_batches():
    builds = [f"{case.name} frames tensorrt" for case in CASES]
    failed = Outcome("failed", reason="no result within 90 s; its process was ended")
    machine = Machine(dict.fromkeys(builds, failed), durations=dict.fromkeys(builds, float("inf")))
    left = [one for one in carry(machine) if one["state"] != "measured" and one["mode"] != "tensorrt"]
    assert "graph" not in {one["mode"] for one in left}
    assert machine.now <= 1000 + 330 + 1e-6


def test_what_there_is_no_time_for_is_recorded():
    machine, told = Machine(durations={"x1 check": 55.0}), []
    records = carry(machine, seconds=60.0, told=told)
    late = [one for one in records if one["state"] == "not run"]
    assert late
    assert all(one["reason"].startswith("out of time, ") for one in late)
    assert len(told) == len(records)
    # Those that need little time are still measured after those that need much.
    found = states(records)
    assert found["x1 frames tensorrt"] == "not run"
    assert found["x1 frames graph"] == "measured"
    assert machine.now <= 1060 + 1e-6


def test_what_is_not_finished_in_the_end_is_out_of_time():
    reason = "no result within 30 s; its process was ended"
    machine = Machine({"x1 check": Outcome("failed", reason=reason)}, durations={"x1 check": float("inf")})
    records = carry(machine, seconds=30.0)
    assert (records[0]["state"], records[0]["reason"]) == ("not run", "out of time, not finished within 30.0 s")
    assert set(states(records).values()) == {"not run"}


@pytest.mark.parametrize("seconds", [0.0, -3.0])
def test_no_time_at_all_starts_no_worker(seconds):
    machine = Machine()
    assert set(states(carry(machine, seconds=seconds)).values()) == {"not run"}
    assert machine.num_starts == 0


def test_killed_run_has_lost_one_measurement():
    machine, saved = Machine(killed_in="s1 frames graph"), []
    with pytest.raises(KeyboardInterrupt):
        carry(machine, saved=saved)
    found = states(saved[-1])
    assert machine.num_stops == 1
    assert found["x1 live graph"] == found["s1 check graph"] == "measured"
    assert found["s1 frames graph"] == "not run"
    assert saved[-1][-1]["reason"] == "the run ended before"
    assert all(len(records) == len(planned(CASES, MODES)) for records in saved)


def test_results_replace_the_former_file_as_a_whole(tmp_path):
    path = tmp_path / "new" / "gpu.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert [one.name for one in path.parent.iterdir()] == ["gpu.json"]
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 2}
