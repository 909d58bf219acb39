import pytest

from streamseg.engines.timing import BUDGET_SECONDS, MAX_ROUNDS, fastest, shortest_runs


class ScriptedClock:
    """A clock that only the candidates advance."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.runs: list[str] = []

    def __call__(self) -> float:
        return self.seconds

    def candidate(self, name: str, durations: list[float]):
        """Return a function that takes the given durations, the last one again and again."""
        remaining = list(durations)

        def run() -> None:
            self.runs.append(name)
            self.seconds += remaining.pop(0) if len(remaining) > 1 else remaining[0]

        return run


def test_candidates_run_in_turns_and_the_shortest_run_counts():
    clock = ScriptedClock()
    candidates = {"a": clock.candidate("a", [0.001, 0.03, 0.02, 0.05]), "b": clock.candidate("b", [0.9, 0.01])}
    assert shortest_runs(candidates, timer=clock) == pytest.approx({"a": 0.02, "b": 0.01})  # not the warm-up's 0.001
    assert clock.runs == ["a", "b"] * (MAX_ROUNDS + 1)


@pytest.mark.parametrize(
    ("duration", "num_rounds"),
    [
        pytest.param(BUDGET_SECONDS, 1, id="the warm-up takes all the time"),
        pytest.param(BUDGET_SECONDS / 2, 2, id="one more round"),
        pytest.param(BUDGET_SECONDS / 4 + 1e-6, 4, id="some"),
    ],
)
def test_slow_candidates_end_the_measurement(duration, num_rounds):
    clock = ScriptedClock()
    assert shortest_runs({"a": clock.candidate("a", [duration])}, timer=clock) == pytest.approx({"a": duration})
    assert len(clock.runs) == num_rounds


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
