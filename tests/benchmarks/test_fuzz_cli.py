"""A short fuzz of the command line, and the parts that find faults."""

import random

import pytest

from benchmarks.fuzz_cli.inputs import SEEDS
from benchmarks.fuzz_cli.mutations import change_arguments, change_bytes, change_json, change_yaml, cut
from benchmarks.fuzz_cli.runner import Outcome, fault, fuzz, reason, run_once
from streamseg.cli import check_config


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 1000])
def test_no_mutated_input_gives_a_traceback(first: int):
    outcome = fuzz(range(first, first + 50), seed=7)
    assert outcome.faults == []
    assert outcome.num_runs == sum(outcome.codes.values()) == 50
    assert len(outcome.commands) > 6
    assert len(outcome.reasons) > 15


def test_unexpected_exceptions_are_found(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> int:
        raise KeyError("gone")

    monkeypatch.setattr(check_config, "run", fail)
    code, output, error = run_once(["check-config"])
    assert code == 1
    assert "internal error: KeyError" in (fault(code, output, error) or "")


@pytest.mark.parametrize(
    ("code", "output", "error", "text"),
    [
        pytest.param(0, "", "", None, id="success"),
        pytest.param(2, "", "streamseg: conf: 2", None, id="one line"),
        pytest.param(1, "", "Traceback (…):\nKeyError: 1", "a traceback: KeyError: 1", id="traceback"),
        pytest.param(0, "", "Exception in thread\nTraceback\nx", "a traceback: x", id="thread"),
        pytest.param(-1, "", "", "exit code -1", id="exit code"),
        pytest.param(2, "", "", "no line on the error: ''", id="no line"),
    ],
)
def test_faults(code: int, output: str, error: str, text: str | None):
    assert fault(code, output, error) == text


def test_mutations_repeat_with_their_seed_and_change_something():
    yaml, json_ = b"a: 1\nb: [1, 2]\nc: x\n", b'{"images": [{"id": 1}], "annotations": []}'
    for change, contents in ((change_yaml, yaml), (change_json, json_), (change_bytes, yaml), (cut, yaml)):
        first = [change(contents, random.Random(seed)) for seed in range(30)]
        assert first == [change(contents, random.Random(seed)) for seed in range(30)]
        assert len(set(first)) > 5
    lines = {tuple(change_arguments(list(SEEDS[0].arguments), random.Random(seed))) for seed in range(30)}
    assert len(lines) > 15


def test_results_of_processes_are_added():
    total, part = Outcome(num_runs=1, megabytes=5), Outcome(num_runs=2, megabytes=9, faults=["x"])
    part.codes[2] = 2
    total.add(part)
    assert (total.num_runs, total.megabytes, total.faults, total.codes[2]) == (3, 9, ["x"], 2)


def test_reasons_omit_details():
    assert reason("streamseg: key 'a' occurs twice, in lines 1 and 3") == "key occurs twice, in lines and"
