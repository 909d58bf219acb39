"""The sources of a recipe, every image and annotation of which is checked before the first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.cli.data_problems import ProblemReport
from streamseg.cli.terminal import ProgressBar

if TYPE_CHECKING:
    from streamseg.datasets.problems import Problems
    from streamseg.training.batches import SampleSource
    from streamseg.training.recipe import Recipe

__all__ = ["TrainingData", "open_training_data"]

PROGRESS_IMAGES = 2000
"""Number of images from which the check shows its progress."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Checked sources, and the problems that were found in them."""

    sources: Sequence[SampleSource]
    weights: Sequence[float]
    """Share of each source, on any positive scale."""
    on_skip: Callable[[str], None] | None
    """Called with one line for each image that cannot be read during the training; None refuses such images."""
    _problems: Problems
    _report: ProblemReport = field(default_factory=ProblemReport)

    def count_skipped(self) -> None:
        """Print how many images and annotations were skipped, if any."""
        self._report.count(self._problems)


def open_training_data(recipe: Recipe, folder: Path, *, strict: bool, is_quiet: bool = False) -> TrainingData:
    """Open and check the sources of a recipe, relative to `folder`, and name everything that is skipped.

    Args:
        recipe: the recipe.
        folder: folder that the recipe's paths are relative to.
        strict: refuse sources with problems; all of them are named, one line each.
        is_quiet: name nothing, because another process of this training does.

    Raises:
        ConfigError: a source has a key of another format.
        DataError: a source is broken, or contains no usable image; or there are problems, and `strict` is True.
    """
    from streamseg.datasets.problems import Problem, Problems

    problems, report = Problems(), ProblemReport()
    with ProgressBar("images checked") as bar:

        def show(done: int, total: int) -> None:
            if total >= PROGRESS_IMAGES and not is_quiet:
                bar(done, total)

        sources, weights = recipe.open_sources(folder, problems, show)
    if strict:
        problems.refuse()

    def skip(message: str) -> None:
        problems.add(Problem("image", folder, message))
        if not is_quiet:
            report.name(problems)

    if not is_quiet:
        report.count(problems)
    return TrainingData(sources, weights, None if strict else skip, problems, report)
