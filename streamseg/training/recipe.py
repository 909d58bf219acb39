"""Training recipes: a run as a YAML file, with sources of images and settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from pydantic_core import ErrorDetails

from streamseg.config.included import read_config_text
from streamseg.config.yaml_text import parse_yaml
from streamseg.datasets.coco_folder import CocoFolder
from streamseg.datasets.problems import Problems
from streamseg.datasets.sa1b import Sa1bFolder, contains_sa1b
from streamseg.datasets.samples import LabelledFolder
from streamseg.errors import ConfigError
from streamseg.training.batches import SampleSource
from streamseg.training.scenes import SceneSamples

__all__ = ["Recipe", "RecipeSource", "load_recipe"]


class RecipeSource(BaseModel):
    """One folder of labelled images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    source: str | None = None
    """COCO: use only images with this `source`; None uses all."""
    weight: FiniteFloat = Field(default=1.0, gt=0)
    background_weight: float = Field(default=1.0, ge=0, le=1)
    format: Literal["auto", "coco", "sa-1b"] = "auto"
    """auto: COCO if there is an instances.json, SA-1B if there is a sa_*.json."""
    min_predicted_iou: float = Field(default=0.0, ge=0, le=1)
    """SA-1B: omit masks with a lower predicted IoU, 0..1."""
    min_stability_score: float = Field(default=0.0, ge=0, le=1)
    """SA-1B: omit masks with a lower stability score, 0..1."""

    def open(
        self,
        data: Path,
        problems: Problems | None = None,
        on_image: Callable[[int, int], None] = lambda done, total: None,
    ) -> LabelledFolder:
        """Open the folder, relative to the folder `data`.

        Args:
            data: folder that the path is relative to.
            problems: check every image and annotation now, and collect those that are skipped; None refuses unusable
                ones when they are read.
            on_image: called with the number of checked images and their total.

        Raises:
            ConfigError: a key belongs to the other format.
            DataError: the folder is missing or broken.
        """
        path = data / self.path
        # A folder in neither format is opened as COCO, whose reader reports what is missing.
        may_be_sa1b = self.format == "auto" and path.is_dir() and not (path / "instances.json").exists()
        if self.format == "sa-1b" or (may_be_sa1b and contains_sa1b(path)):
            if self.source is not None:
                raise ConfigError(f"{path} is in SA-1B format, in which images have no source; omit source")
            return Sa1bFolder(
                path,
                min_predicted_iou=self.min_predicted_iou,
                min_stability_score=self.min_stability_score,
                background_weight=self.background_weight,
                problems=problems,
                on_image=on_image,
            )
        if self.min_predicted_iou > 0 or self.min_stability_score > 0:
            raise ConfigError(
                f"{path} is in COCO format, in which masks have no quality; omit min_predicted_iou and"
                " min_stability_score"
            )
        return CocoFolder(
            path,
            source=self.source,
            background_weight=self.background_weight,
            problems=problems,
            on_image=on_image,
        )


class Recipe(BaseModel):
    """Sources and settings of a training run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[RecipeSource, ...] = ()
    scene_weight: FiniteFloat = Field(default=0.0, ge=0)
    """Share of images of the rendered scene, on the scale of the sources' weights."""
    imgsz: int | None = Field(default=None, ge=32, le=4096)
    """Default input size stored in the weights, in pixels; None leaves it to the user."""
    settings: dict[str, Any] = {}
    """Fields of `TrainingSettings`; omitted fields keep their defaults."""

    def open_sources(
        self,
        data: Path,
        problems: Problems | None = None,
        on_image: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[list[SampleSource], list[float]]:
        """Open every source, relative to the folder `data`, and return the sources and their weights.

        Args:
            data: folder that the sources' paths are relative to.
            problems: see `RecipeSource.open`.
            on_image: called with the number of checked images and the total of one source.

        Raises:
            ConfigError: a source has a key of the other format.
            DataError: a folder is missing or broken.
        """
        opened: list[SampleSource] = [one.open(data, problems, on_image) for one in self.sources]
        weights = [one.weight for one in self.sources]
        if self.scene_weight > 0:
            opened.append(SceneSamples())
            weights.append(self.scene_weight)
        return opened, weights


def load_recipe(path: Path) -> Recipe:
    """Read a recipe: a file, or an included one by its name, such as `train-default`.

    Raises:
        ConfigError: the file is missing or not valid YAML, or a value is invalid; one line per mistake.
    """
    try:
        return Recipe.model_validate(parse_yaml(read_config_text(path, "recipe"), str(path)))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {_explain(problem)}" for problem in error.errors())) from error


def _explain(problem: ErrorDetails) -> str:
    where = ".".join(map(str, problem["loc"])) or "the recipe"
    if problem["type"] == "extra_forbidden":
        known = RecipeSource.model_fields if len(problem["loc"]) > 1 else Recipe.model_fields
        return f"{where}: unknown key; valid keys are {', '.join(known)}"
    if problem["type"] == "model_type":
        return f"{where} must contain keys and values, got {str(problem['input'])[:60]}"
    return f"{where}: {problem['msg']}, got {str(problem['input'])[:60]}"
