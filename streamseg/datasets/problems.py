"""Problems of a data set: unusable images, annotations and rings, collected instead of raised one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamseg.errors import DataError

__all__ = ["MAX_LINES", "Problem", "Problems"]

MAX_LINES = 100
"""Maximum number of problems that are named one by one; the others are counted."""

Kind = Literal["image", "annotation", "ring"]


@dataclass(frozen=True)
class Problem:
    """One part of a data set that cannot be used."""

    kind: Kind
    """What is skipped. Without a ring of a polygon, the other rings of its annotation are still used."""
    file: Path
    """File that contains the problem: an image, or the file that lists images and annotations."""
    message: str
    """One line: file, id, what was received, what is allowed."""
    id: str | None = None
    """Id of the image or annotation in that file, as text; None if unknown."""
    count: int = 1
    """Number of images, annotations or rings that are skipped."""


class Problems:
    """The problems of one or more data sets, each once, in the order in which they were found.

    Functions that accept `problems: Problems | None` skip what is unusable and add it here. Without one they raise a
    DataError that names all problems.
    """

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found)

    def add(self, problem: Problem) -> None:
        """Add a problem; one that is known already is not counted again."""
        self._found.setdefault(problem)

    def counts(self) -> dict[str, int]:
        """Return the number of skipped images, annotations and rings; an image is counted without its annotations."""
        counts = {"images": 0, "annotations": 0, "rings": 0}
        for problem in self:
            counts[f"{problem.kind}s"] += problem.count
        return counts

    def summary(self) -> str:
        """Return "2 images, 1 annotation skipped", or "" if nothing was skipped."""
        counted = {kind: count for kind, count in self.counts().items() if count}
        parts = [f"{count} {kind.removesuffix('s') if count == 1 else kind}" for kind, count in counted.items()]
        return f"{', '.join(parts)} skipped" if parts else ""

    def lines(self) -> list[str]:
        """Return one line for each problem, at most `MAX_LINES` and a last line that counts the others."""
        lines = [problem.message for problem in list(self)[:MAX_LINES]]
        return lines if len(self) <= MAX_LINES else [*lines, f"… and {len(self) - MAX_LINES} more problems"]

    def refuse(self) -> None:
        """Raise a DataError with one line for each problem, if there is any."""
        if self._found:
            raise DataError("\n".join(self.lines()))
