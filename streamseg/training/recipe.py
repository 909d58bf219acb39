"""Training recipes: a run as a YAML file, with sources of images and settings.

A data set stands for the recipe that trains on it with the default settings.
"""

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
from streamseg.datasets.subset import Subset
from streamseg.datasets.yolo_folder import YoloFolder
from streamseg.datasets.yolo_yaml import Split, find_yolo_yaml, is_yolo_content
from streamseg.errors import ConfigError
from streamseg.training.batches import SampleSource
from streamseg.training.scenes import SceneSamples

__all__ = ["Recipe", "RecipeSource", "load_recipe"]


class RecipeSource(BaseModel):
    """One data set: a folder of labelled images, or the `data.yaml` of a YOLO data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    source: str | None = None
    """COCO: use only images with this `source`; None uses all."""
    weight: FiniteFloat = Field(default=1.0, gt=0)
    background_weight: float = Field(default=1.0, ge=0, le=1)
    format: Literal["auto", "coco", "yolo", "sa-1b"] = "auto"
    """auto: COCO if there is an instances.json, YOLO if there is one data.yaml (under any name), SA-1B if there is a
    sa_*.json."""
    split: Split | None = None
    """YOLO: train, val or test; None means train."""
    min_predicted_iou: float = Field(default=0.0, ge=0, le=1)
    """SA-1B: omit masks with a lower predicted IoU, 0..1."""
    min_stability_score: float = Field(default=0.0, ge=0, le=1)
    """SA-1B: omit masks with a lower stability score, 0..1."""

    def open(
        self,
        data: Path,
        problems: Problems | None = None,
        on_image: Callable[[int, int], None] = lambda done, total: None,
        subset: Subset | None = None,
    ) -> LabelledFolder:
        """Open the folder, relative to the folder `data`.

        Args:
            data: folder that the path is relative to.
            problems: check every image and annotation now, and collect those that are skipped; None refuses unusable
                ones when they are read.
            on_image: called with the number of checked images and their total.
            subset: subset of the images to use; None uses all.

        Raises:
            ConfigError: a key belongs to another format.
            DataError: the data set is missing or broken.
        """
        path = data / self.path
        # What is in no format is opened as COCO, whose reader reports what is missing.
        found = self.format if self.format != "auto" else _format_of(path) or "coco"
        self._refuse_keys_of_other_formats(path, found)
        if found == "sa-1b":
            return Sa1bFolder(
                path,
                subset=subset,
                min_predicted_iou=self.min_predicted_iou,
                min_stability_score=self.min_stability_score,
                background_weight=self.background_weight,
                problems=problems,
                on_image=on_image,
            )
        if found == "yolo":
            return YoloFolder(
                path,
                split=self.split or "train",
                subset=subset,
                background_weight=self.background_weight,
                problems=problems,
                on_image=on_image,
            )
        return CocoFolder(
            path,
            source=self.source,
            subset=subset,
            background_weight=self.background_weight,
            problems=problems,
            on_image=on_image,
        )

    def _refuse_keys_of_other_formats(self, path: Path, found: str) -> None:
        if found != "coco" and self.source is not None:
            raise ConfigError(f"{path} is in {found.upper()} format, in which images have no source; omit source")
        if found != "sa-1b" and (self.min_predicted_iou > 0 or self.min_stability_score > 0):
            raise ConfigError(
                f"{path} is in {found.upper()} format, in which masks have no quality; omit min_predicted_iou and"
                " min_stability_score"
            )
        if found != "yolo" and self.split is not None:
            raise ConfigError(f"{path} is in {found.upper()} format, which has no splits; omit split")


def _format_of(path: Path) -> Literal["coco", "yolo", "sa-1b"] | None:
    """Return the format of a data set; None if there is none.

    Raises:
        DataError: the folder contains several YOLO data sets, or is unreadable.
    """
    if (path / "instances.json").exists():
        return "coco"
    if find_yolo_yaml(path) is not None:
        return "yolo"
    return "sa-1b" if path.is_dir() and contains_sa1b(path) else None


class Recipe(BaseModel):
    """Sources and settings of a training run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[RecipeSource, ...] = ()
    scene_weight: FiniteFloat = Field(default=0.0, ge=0)
    """Share of images of the rendered scene, on the scale of the sources' weights."""
    hold_out: int | None = Field(default=None, ge=2)
    """Hold out each N-th image of every source, on which `streamseg eval --held-out` measures quality; None uses all
    images. The rendered scene has endless images and needs none."""
    imgsz: int | None = Field(default=None, ge=32, le=4096)
    """Default input size stored in the weights, in pixels; None leaves it to the user."""
    settings: dict[str, Any] = {}
    """Fields of `TrainingSettings`; omitted fields keep their defaults."""

    def subset(self, *, is_held_out: bool) -> Subset | None:
        """Return the held-out images, or the others, of every source; None if none are held out."""
        return None if self.hold_out is None else Subset(self.hold_out, is_held_out=is_held_out)

    def open_sources(
        self,
        data: Path,
        problems: Problems | None = None,
        on_image: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[list[SampleSource], list[float]]:
        """Open every source without its held-out images, and return the sources and their weights.

        Args:
            data: folder that the sources' paths are relative to.
            problems: see `RecipeSource.open`.
            on_image: called with the number of checked images and the total of one source.

        Raises:
            ConfigError: a source has a key of another format.
            DataError: a folder is missing or broken.
        """
        subset = self.subset(is_held_out=False)
        opened: list[SampleSource] = [one.open(data, problems, on_image, subset) for one in self.sources]
        weights = [one.weight for one in self.sources]
        if self.scene_weight > 0:
            opened.append(SceneSamples())
            weights.append(self.scene_weight)
        return opened, weights


def load_recipe(path: Path) -> Recipe:
    """Read a recipe: a file, or an included one by its name, such as `train-default`; or a data set.

    Args:
        path: the recipe, the `data.yaml` of a YOLO data set, or a folder in any format.

    Returns:
        The recipe; for a data set, a recipe with this source, by its absolute path, and the default settings.

    Raises:
        ConfigError: the file is missing or not valid YAML, or a value is invalid, one line per mistake; or a folder
            contains no data set.
        DataError: a folder contains several YOLO data sets, or is unreadable.
    """
    if path.is_dir():
        if _format_of(path) is None:
            raise ConfigError(
                f"cannot read the recipe {path}: it is a folder without a data set, which has an instances.json (COCO),"
                " a data.yaml (YOLO) or sa_*.json (SA-1B)"
            )
        return Recipe(sources=(RecipeSource(path=str(path.absolute())),))
    content = parse_yaml(read_config_text(path, "recipe"), str(path))
    if is_yolo_content(content):
        return Recipe(sources=(RecipeSource(path=str(path.absolute()), format="yolo"),))
    try:
        return Recipe.model_validate(content)
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
