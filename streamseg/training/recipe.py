"""A training run as a YAML file: where pictures come from, and the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from pydantic_core import ErrorDetails

from streamseg.errors import ConfigError
from streamseg.training.batches import SampleSource
from streamseg.training.folders import CocoFolder
from streamseg.training.scenes import SceneSamples

__all__ = ["Recipe", "load_recipe"]


class RecipeSource(BaseModel):
    """One COCO-format folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    source: str | None = None
    weight: FiniteFloat = Field(default=1.0, gt=0)
    background_weight: float = Field(default=1.0, ge=0, le=1)


class Recipe(BaseModel):
    """What to train on, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[RecipeSource, ...] = ()
    scene_weight: FiniteFloat = Field(default=0.0, ge=0)
    """Share of pictures of the rendered scene, on the scale of the sources' weights."""
    imgsz: int | None = Field(default=None, ge=32, le=4096)
    """Input size that the weights ask for where they are used; None: the user's choice."""
    settings: dict[str, Any] = {}
    """Fields of `TrainingSettings`; the rest keep their defaults."""

    def open_sources(self, data: Path) -> tuple[list[SampleSource], list[float]]:
        """Open every source below the folder `data`, with its weight.

        Raises:
            DataError: a folder is missing or broken.
        """
        opened: list[SampleSource] = [
            CocoFolder(data / one.path, source=one.source, background_weight=one.background_weight)
            for one in self.sources
        ]
        weights = [one.weight for one in self.sources]
        if self.scene_weight > 0:
            opened.append(SceneSamples())
            weights.append(self.scene_weight)
        return opened, weights


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: missing, no YAML, or a value is wrong; one line per mistake.
    """
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the recipe {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {_explain(problem)}" for problem in error.errors())) from error


def _explain(problem: ErrorDetails) -> str:
    where = ".".join(map(str, problem["loc"])) or "the recipe"
    if problem["type"] == "extra_forbidden":
        known = RecipeSource.model_fields if len(problem["loc"]) > 1 else Recipe.model_fields
        return f"{where}: unknown key; valid keys are {', '.join(known)}"
    if problem["type"] == "model_type":
        return f"{where} must hold keys and values, got {str(problem['input'])[:60]}"
    return f"{where}: {problem['msg']}, got {str(problem['input'])[:60]}"
