import pytest

from streamseg.engines.core_time import CoreTime
from streamseg.engines.timing import BUDGET_SECONDS, LIMIT_SECONDS, MAX_ROUNDS, MIN_ROUNDS, fastest, shortest_runs


class ScriptedClock:
    """A clock that only the candidates advance, and a thread that has a core in a share of each run."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu = 0.0
        self.runs: list[str] = []

    def __call__(self) -> float:
        return self.seconds

    def cores(self) -> CoreTime:
        return CoreTime(self.seconds, self.cpu, {1: self.seconds - self.cpu})

    def candidate(self, name: str, durations: list[float], *, cpu_shares: list[float] | None = None):
        """Return a function that takes the given durations, the last one again and again, as it does the shares."""
        remaining, shares = list(durations), list(cpu_shares or [1.0])

        def run() -> None:
            self.runs.append(name)
            seconds = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            self.seconds += seconds
            self.cpu += seconds * (shares.pop(0) if len(shares) > 1 else shares[0])

        return run

    def compare(self, candidates):
        return shortest_runs(candidates, timer=self, cores=self.cores, num_threads=1)


def test_candidates_run_in_turns_and_the_shortest_run_counts():
    clock = ScriptedClock()
    candidates = {"a": clock.candidate("a", [0.001, 0.03, 0.02, 0.05]), "b": clock.candidate("b", [0.9, 0.01])}
    assert clock.compare(candidates).seconds == pytest.approx({"a": 0.02, "b": 0.01})  # not the warm-up's 0.001
    assert clock.runs == ["a", "b"] * (MAX_ROUNDS + 1)


@pytest.mark.parametrize(
    ("duration", "num_rounds"),
    [
        pytest.param(LIMIT_SECONDS, 1, id="the warm-up takes all the time"),
        pytest.param(LIMIT_SECONDS / 2, 2, id="one more round"),
        pytest.param(BUDGET_SECONDS, 1 + MIN_ROUNDS, id="slow"),
        pytest.param(BUDGET_SECONDS / 4 + 1e-6, 4, id="some"),
    ],
)
def test_slow_candidates_end_the_measurement(duration, num_rounds):
    clock = ScriptedClock()
    assert clock.compare({"a": clock.candidate("a", [duration])}).seconds == pytest.approx({"a": duration})
    assert len(clock.runs) == num_rounds


def test_compilation_in_the_second_run_is_no_run_time_on_a_slow_machine():
    clock = ScriptedClock()
    candidates = {"onnx": clock.candidate("onnx", [0.4]), "openvino": clock.candidate("openvino", [0.3, 2.5, 0.3])}
    assert clock.compare(candidates).seconds == pytest.approx({"onnx": 0.4, "openvino": 0.3})


@pytest.mark.parametrize(
    ("durations", "cpu_shares", "expected"),
    [
        pytest.param([0.1], [1.0], 0.0, id="idle machine"),
        pytest.param([0.1], [0.25], 0.75, id="busy machine"),
        pytest.param([0.1], [0.2, 1.0], 0.0, id="the warm-up reads files"),
        pytest.param([LIMIT_SECONDS], [0.2], 0.8, id="nothing but the warm-up"),
    ],
)
def test_waits_for_cores_are_measured_in_what_counts(durations, cpu_shares, expected):
    clock = ScriptedClock()
    compared = clock.compare({"a": clock.candidate("a", durations, cpu_shares=cpu_shares)})
    assert compared.waiting == pytest.approx(expected)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param({"onnx": 1.0}, "onnx", id="one"),
        pytest.param({"onnx": 1.0, "openvino": 0.95}, "onnx", id="within the margin"),
        pytest.param({"onnx": 1.0, "openvino": 0.8}, "openvino", id="beyond the margin"),
        pytest.param({"onnx": 1.0, "openvino": 0.52, "openvino int8": 0.5}, "openvino", id="preferred of two"),
        pytest.param({"onnx": 1.0, "openvino": 1.1, "openvino int8": 0.5, "torch": 0.45}, "torch", id="last"),
        pytest.param({"onnx": 0.0, "openvino": 0.0}, "onnx", id="clock without resolution"),
    ],
)
def test_preference_decides_between_similar_times(seconds, expected):
    assert fastest(seconds) == expected
