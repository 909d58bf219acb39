"""Rows of docs/faults.md: a fault, what is promised, and how it is measured."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from streamseg.structures.source_status import SourceState

__all__ = ["REPOSITORY", "Checked", "Measured", "Outcome", "Row", "Scenario", "num_plays"]

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT_SECONDS = 5.0
"""A fault that takes less is played as often as requested."""
NUM_PLAYS = ((15.0, 5), (45.0, 3))
"""Limits in seconds, and the number of plays of a fault that takes longer than `SHORT_SECONDS`, but not longer."""


@dataclass(frozen=True)
class Outcome:
    """Measurement of one play of a fault."""

    value: float
    """In the unit of the scenario; in seconds: usually from the end of the fault to the next result."""
    states: tuple[SourceState, ...] = ()
    """States that the source went through."""


@dataclass
class Measured:
    """Measurements of all plays of a fault."""

    values: list[float] = field(default_factory=list)
    """One value per play; none if the row has no unit."""
    seeds: list[int] = field(default_factory=list)
    num_plays: int = 0
    failures: list[str] = field(default_factory=list)
    """What was not as promised, one line each, beyond the values."""
    skipped: str = ""
    """Why nothing was measured."""


class Row(Protocol):
    """One fault."""

    @property
    def name(self) -> str: ...

    @property
    def played_as(self) -> str: ...

    @property
    def promise(self) -> float | None:
        """Largest value; None if the fault is only passed or failed."""

    @property
    def promised(self) -> str:
        """The promise in words."""

    @property
    def unit(self) -> str: ...

    @property
    def command(self) -> str:
        """The command that plays this fault."""

    @property
    def shortfall(self) -> str:
        """Why the promise may be missed; shown if it was."""

    def measure(self, times: int) -> Measured:
        """Play the fault up to so many times."""


@dataclass(frozen=True)
class Scenario:
    """A fault that is played by a function, which returns what it measured."""

    name: str
    run: Callable[[], Outcome]
    """Its docstring describes in one line how the fault is played."""
    promise: float
    states: tuple[SourceState, ...] = ()
    """States that it must go through."""
    never: tuple[SourceState, ...] = ()
    """States that it must not go through."""
    unit: str = "s"
    promised: str = ""
    shortfall: str = ""
    is_long: bool = False
    """Played by scripts/faults only, not by the tests."""

    @property
    def played_as(self) -> str:
        """First line of the function's docstring, without its full stop."""
        return (self.run.__doc__ or "").strip().splitlines()[0].rstrip(".")

    @property
    def command(self) -> str:
        return f"scripts/faults '{self.name}'"

    def play(self, seed: int) -> Outcome:
        """Play it once. The seed fixes the losses of proxies and the random part of delays."""
        random.seed(seed)
        return self.run()

    def violations(self, outcome: Outcome) -> str:
        """Return which states were missing or forbidden; empty if none."""
        missing, forbidden = set(self.states) - set(outcome.states), set(self.never) & set(outcome.states)
        words = [f"never {state}" for state in sorted(missing)] + [f"was {state}" for state in sorted(forbidden)]
        return ", ".join(words)

    def measure(self, times: int) -> Measured:
        measured, started = Measured(), time.monotonic()
        seed = 0
        while seed < times:
            seed += 1
            measured.seeds.append(seed)
            measured.num_plays += 1
            try:
                outcome = self.play(seed)
            except AssertionError as error:
                measured.failures.append(f"seed {seed}: {error}")
            else:
                measured.values.append(outcome.value)
                if words := self.violations(outcome):
                    measured.failures.append(f"seed {seed}: {words}")
            if seed == 1:
                times = num_plays(time.monotonic() - started, times)
        return measured


@dataclass(frozen=True)
class Checked:
    """A fault that tests of the suite play. A test may record its measurement as the property `value`."""

    name: str
    tests: tuple[str, ...]
    played_as: str
    promised: str
    promise: float | None = None
    unit: str = ""
    times: int = 3
    """Number of plays; at most as many as requested."""
    shortfall: str = ""

    @property
    def command(self) -> str:
        return " ".join(["scripts/test", *self.tests])

    def measure(self, times: int) -> Measured:
        absent = [test for test in self.tests if not (REPOSITORY / test.partition("::")[0]).exists()]
        if absent:
            return Measured(skipped=f"no {', '.join(absent)}")
        times = min(times, self.times)
        with tempfile.TemporaryDirectory() as folder:
            figures = Path(folder) / "figures.jsonl"
            options = ["-p", "tests.faults.repetition", f"--repetitions={times}", f"--figures={figures}"]
            command = [sys.executable, "-m", "pytest", "-q", "--timeout=300", *options, *self.tests]
            done = subprocess.run(
                command, cwd=REPOSITORY, capture_output=True, text=True, check=False, env={**os.environ}
            )
            lines = figures.read_text().splitlines() if figures.exists() else []
        return _measured(done, [json.loads(line) for line in lines], times)


def _measured(done: subprocess.CompletedProcess[str], tests: list[dict[str, object]], times: int) -> Measured:
    skipped = {str(test["reason"]) for test in tests if test["outcome"] == "skipped"}
    if not tests:
        return Measured(failures=[f"pytest ended with {done.returncode}: {done.stdout.strip()[-200:]}"])
    if skipped:
        return Measured(skipped="; ".join(sorted(skipped)))
    failures = [f"{test['test']}: {test['reason']}" for test in tests if test["outcome"] != "passed"]
    values = [float(str(test["value"])) for test in tests if test.get("value") is not None]
    return Measured(values=values, num_plays=times, failures=failures)


def num_plays(seconds: float, times: int) -> int:
    """Return how often to play a fault that takes so long, at most `times`."""
    if seconds < SHORT_SECONDS:
        return times
    return min(times, next((plays for limit, plays in NUM_PLAYS if seconds < limit), 1))
