"""The suite itself: names, documents, verdicts and repetition, without playing a fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.document import BEGIN, DOCUMENT, END, cell, render, replaced
from tests.faults.measure import is_held, main
from tests.faults.rows import Checked, Measured, Outcome, Scenario, num_plays
from tests.faults.suite import SECTIONS, rows

TIMED = Scenario("timed", lambda: Outcome(0.5, ("live",)), 1.0, ("live",), never=("failed",))
PASSED = Checked("passed", ("tests/x.py",), "a test", "it holds")


def entry(measured: Measured, row: Scenario | Checked) -> dict[str, object]:
    return {
        "measured": "2026-11-30T00:00:00",
        "load": 9.0,
        "is_loaded": True,
        "priority": "nice 10",
        "held": is_held(row, measured),
        **vars(measured),
    }


def test_every_fault_has_a_name_of_its_own_and_a_row_in_the_document():
    names = [row.name for row in rows()]
    assert len(names) == len(set(names))
    text = DOCUMENT.read_text()
    assert [name for name in names if f"| {name} |" not in text] == []


@pytest.mark.parametrize(
    ("seconds", "times", "expected"),
    [(4.9, 20, 20), (4.9, 2, 2), (5.0, 20, 5), (14.0, 3, 3), (20.0, 20, 3), (60.0, 20, 1)],
)
def test_number_of_plays(seconds: float, times: int, expected: int):
    assert num_plays(seconds, times) == expected


@pytest.mark.parametrize(
    ("row", "measured", "held", "words"),
    [
        pytest.param(TIMED, Measured([0.5, 1.0], num_plays=2), True, "0.75 / 1 s, 2 ×", id="at-the-limit"),
        pytest.param(
            TIMED, Measured([0.5, 1.01], num_plays=2), False, "**missed**: 0.76 / 1.01 s, 2 ×", id="one-missed"
        ),
        pytest.param(TIMED, Measured(num_plays=2), False, "**missed**: ", id="no-value"),
        pytest.param(
            TIMED, Measured([0.5], num_plays=2, failures=["was failed"]), False, "1 of 2 failed", id="a-failure"
        ),
        pytest.param(PASSED, Measured(num_plays=3), True, "held, 3 ×", id="passed"),
        pytest.param(PASSED, Measured(num_plays=3, failures=["x"]), False, "1 of 3 failed", id="not-passed"),
        pytest.param(PASSED, Measured(skipped="no root"), False, "skipped: no root", id="skipped"),
    ],
)
def test_verdict(row: Scenario | Checked, measured: Measured, held: bool, words: str):
    assert is_held(row, measured) is held
    assert words in cell(row, entry(measured, row))


def test_states_that_must_occur_and_must_not():
    assert TIMED.violations(Outcome(0.5, ("live", "waiting"))) == ""
    assert TIMED.violations(Outcome(0.5, ("failed",))) == "never live, was failed"


def test_measurement_repeats_and_reports_states():
    measured = Scenario("s", lambda: Outcome(0.5, ("failed",)), 1.0, ("live",)).measure(3)
    assert measured.values == [0.5] * 3
    assert measured.seeds == [1, 2, 3]
    assert measured.failures[0] == "seed 1: never live"


def test_document_shows_missed_promises_with_their_cause():
    row = Scenario("late", late, 1.0, shortfall="the reason")
    results = {"machine": "a machine", "rows": {"late": entry(Measured([2.0], num_plays=1), row)}}
    text = render({"Section": (row, PASSED)}, results)
    assert "| late | The camera is late | ≤ 1 s | **missed**: 2 / 2 s, 1 × | `scripts/faults 'late'` |" in text
    assert "| passed | a test | it holds | not measured | `scripts/test tests/x.py` |" in text
    assert "- Missed: late. Cause: the reason." in text
    assert "(loaded machine)" in text


def late() -> Outcome:
    """The camera is late."""
    return Outcome(2.0)


def test_only_the_tables_are_replaced():
    assert replaced(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\n\nnew\n{END}\nb"
    with pytest.raises(ValueError, match="marks"):
        replaced("no marks", "new")


def test_unknown_name_lists_the_names(capsys: pytest.CaptureFixture[str]):
    assert main(["no such fault"]) == 2
    assert capsys.readouterr().out.splitlines() == [row.name for row in rows()]


def test_absent_test_is_skipped():
    assert Checked("x", ("tests/none.py::test",), "", "").measure(1).skipped == "no tests/none.py::test"


@pytest.mark.slow
def test_repetition_reports_values_failures_and_skips(tmp_path: Path):
    module = tmp_path / "test_sample.py"
    module.write_text(
        "import pytest\n"
        "def test_value(record_property):\n    record_property('value', 0.5)\n"
        "def test_failure():\n    assert 1 == 2\n"
        "def test_skip():\n    pytest.skip('no root')\n"
    )
    figures = tmp_path / "figures"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.faults.repetition", "--repetitions=2"]
    subprocess.run([*command, f"--figures={figures}", str(module)], capture_output=True, check=False, timeout=100)
    found = [json.loads(line) for line in figures.read_text().splitlines()]
    assert [(one["outcome"], one["value"]) for one in found] == [
        *[("passed", 0.5)] * 2,
        *[("failed", None)] * 2,
        *[("skipped", None)] * 2,
    ]
    assert "assert 1 == 2" in found[2]["reason"]
    assert found[4]["reason"] == "no root"


def test_sections_are_those_of_the_document():
    text = DOCUMENT.read_text()
    assert [name for name in SECTIONS if f"### {name}\n" not in text] == []
