"""Plugin of pytest for the fault suite: repeats each test, and writes what it measured as lines of JSON.

    pytest -p tests.faults.repetition --repetitions=20 --figures=FILE TESTS

A test records its measurement by `record_property("value", number)`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

__all__ = ["pytest_addoption", "pytest_generate_tests", "pytest_runtest_logreport"]

_figures: list[Path] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption("--repetitions", type=int, default=1, help="how often each test is run")
    parser.addoption("--figures", type=Path, help="file for the outcome of each run")


def pytest_configure(config: pytest.Config) -> None:
    """Remember the file of the figures."""
    _figures[:] = [path] if (path := config.getoption("--figures")) else []


@pytest.fixture
def repetition(request: pytest.FixtureRequest) -> int:
    """Number of the repetition, from 0."""
    return int(getattr(request, "param", 0))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each test, but those of hypothesis, which repeat themselves."""
    times = metafunc.config.getoption("--repetitions")
    if times > 1 and not getattr(metafunc.function, "is_hypothesis_test", False):
        metafunc.fixturenames.append("repetition")
        metafunc.parametrize("repetition", range(times), indirect=True, ids=[f"run{run}" for run in range(times)])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write the outcome of a test: that of its call, or of a set-up that was skipped or failed."""
    if not _figures or (report.when != "call" and report.outcome == "passed"):
        return
    reason = ""
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
    elif report.outcome == "failed":
        reason = str(getattr(report.longrepr, "reprcrash", None) or report.longrepr).strip().splitlines()[0]
    value = dict(report.user_properties).get("value")
    entry = {"test": report.nodeid, "outcome": report.outcome, "reason": reason, "value": value}
    with _figures[0].open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
