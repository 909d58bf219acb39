"""Unusable images and annotations of a data set on the command line: named and skipped, or refused with `--strict`."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamseg.datasets.problems import Problem, Problems

__all__ = ["ProblemReport", "add_strict_argument"]

logger = logging.getLogger(__name__)


def add_strict_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--strict`."""
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse a data set with unusable images or annotations (exit code 2); by default they are named, skipped"
        " and counted",
    )


class ProblemReport:
    """Names each problem once, on standard error, and counts them on standard output."""

    def __init__(self) -> None:
        self._named: set[Problem] = set()

    def name(self, problems: Problems) -> None:
        """Name the problems that have not been named yet, one line each, up to a limit."""
        from streamseg.datasets.problems import MAX_LINES

        for problem in problems:
            if problem in self._named:
                continue
            self._named.add(problem)
            if len(self._named) <= MAX_LINES:
                logger.warning("skipped: %s", problem.message)
            elif len(self._named) == MAX_LINES + 1:
                logger.warning("more than %d problems; the others are only counted", MAX_LINES)

    def count(self, problems: Problems) -> None:
        """Name the new problems, and print how much was skipped; print nothing if nothing was."""
        self.name(problems)
        if len(problems):
            print(f"{problems.summary()} (named above; --strict refuses them)", flush=True)
