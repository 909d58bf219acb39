"""The images that a recipe holds out, as a data set for evaluation."""

from __future__ import annotations

from pathlib import Path

from streamseg.datasets.problems import Problems
from streamseg.datasets.subset import ImageList
from streamseg.errors import ConfigError
from streamseg.training.recipe import load_recipe

__all__ = ["held_out_images"]


def held_out_images(
    recipe_path: Path, data: Path, problems: Problems | None = None, *, source: str | None = None
) -> ImageList:
    """Read and check the images that a recipe holds out of the training.

    Args:
        recipe_path: the recipe, or an included one by its name, see `load_recipe`.
        data: folder that the sources' paths are relative to.
        problems: collects what is skipped; None refuses sources with any problem, and names all.
        source: use only the recipe's sources with this `source`, for example those that are labelled exhaustively; None
            uses all.

    Returns:
        The usable held-out images in the order of the sources, each once.

    Raises:
        ConfigError: the recipe is invalid, holds nothing out, or has no such source.
        DataError: a source is missing or broken, or none of its images is held out or usable.
    """
    recipe = load_recipe(recipe_path)
    subset = recipe.subset(is_held_out=True)
    if subset is None:
        raise ConfigError(f"{recipe_path} holds no images out; add hold_out, for example hold_out: 10")
    if not recipe.sources:
        raise ConfigError(f"{recipe_path} has no source; add one whose images are held out")
    chosen = [one for one in recipe.sources if source is None or one.source == source]
    if not chosen:
        known = ", ".join(sorted({repr(one.source) for one in recipe.sources if one.source is not None})) or "none"
        raise ConfigError(f"{recipe_path} has no source {source!r}; available: {known}")
    found = Problems() if problems is None else problems
    folders = [one.open(data, found, subset=subset) for one in chosen]
    if problems is None:
        found.refuse()
    entries = [folder.entry(index) for folder in folders for index in range(len(folder))]
    # Two sources may draw from one folder with different weights.
    return ImageList(recipe_path, tuple({entry.path: entry for entry in entries}.values()))
