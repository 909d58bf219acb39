"""Pack the training data of a recipe into one small folder, to copy to another machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from streamseg.datasets.check import none_usable, read_or_skip
from streamseg.datasets.coco_writer import mask_entry, new_folder, write_instances
from streamseg.datasets.entries import LabelledImage
from streamseg.datasets.masks import annotation_mask
from streamseg.datasets.problems import Problems
from streamseg.datasets.samples import LabelledFolder, shrink_mask
from streamseg.datasets.subset import Subset
from streamseg.structures.arrays import ImageArray
from streamseg.training.recipe import Recipe, RecipeSource

__all__ = ["PackSummary", "pack_recipe"]


@dataclass(frozen=True)
class PackSummary:
    """Size of the written data."""

    num_images: int
    num_annotations: int
    num_bytes: int


def pack_recipe(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    max_side: int,
    quality: int,
    on_image: Callable[[int, int], None] = lambda done, total: None,
    problems: Problems | None = None,
) -> PackSummary:
    """Write the images and labels of a recipe's sources, and a recipe for them as `recipe.yaml`.

    The order of the images is kept, so the packed recipe draws the same ones. Held-out images are not packed.

    Args:
        recipe: recipe to pack.
        data: folder to which the paths in the recipe are relative.
        out: output folder; must be empty or missing.
        max_side: larger images are shrunk to this long side, in pixels; smaller JPEG files are copied unchanged.
        quality: JPEG quality of re-encoded images, 1..100.
        on_image: called with the number of finished images and their total.
        problems: collects the images and annotations that are skipped; None refuses sources with any.

    Raises:
        ConfigError: a source has a key of another format.
        DataError: a source is broken, or contains no usable image; or an image or annotation is unusable and `problems`
            is None; or `out` cannot be written.
    """
    groups = _by_folder(recipe.sources)
    found = Problems() if problems is None else problems
    recipe.open_sources(data, found)  # report errors in any source before packing the first
    subset = recipe.subset(is_held_out=False)
    selected = {name: _select_images(group, data, found, subset) for name, group in groups.items()}
    if problems is None:
        found.refuse()
    total = sum(len(indices) for _, indices in selected.values())
    done, num_images, num_annotations = 0, 0, 0
    with new_folder(out):
        for name, (folder, indices) in selected.items():
            (out / name / "images").mkdir(parents=True)
            content: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "object"}]}
            for index in indices:
                labelled = folder.entry(index)
                image = read_or_skip(labelled, problems)
                if image is not None:
                    _pack_image(image, labelled, content, out / name, max_side=max_side, quality=quality)
                done += 1
                on_image(done, total)
            if not content["images"]:
                raise none_usable(data / groups[name][0].path, found)
            write_instances(out / name, content)
            num_images += len(content["images"])
            num_annotations += len(content["annotations"])
        packed = recipe.model_copy(
            update={"sources": tuple(_packed_source(one, groups) for one in recipe.sources), "hold_out": None}
        ).model_dump(mode="json", exclude_defaults=True)
        (out / "recipe.yaml").write_text(yaml.safe_dump(packed, sort_keys=False, allow_unicode=True), encoding="utf-8")
        num_bytes = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return PackSummary(num_images, num_annotations, num_bytes)


def _by_folder(sources: tuple[RecipeSource, ...]) -> dict[str, list[RecipeSource]]:
    """Group sources by the name of the packed folder that they share; they may differ only in how they draw from it."""
    groups: dict[str, list[RecipeSource]] = {}
    for one in sources:
        name, number = _name_of(one), 1
        while name in groups and _content_of(groups[name][0]) != _content_of(one):
            number += 1
            name = f"{_name_of(one)}-{number}"
        groups.setdefault(name, []).append(one)
    return groups


def _name_of(source: RecipeSource) -> str:
    return Path(source.path).name.removesuffix(".yaml") or "data"


def _content_of(source: RecipeSource) -> tuple[str, str, str | None, float, float]:
    return source.path, source.format, source.split, source.min_predicted_iou, source.min_stability_score


def _packed_source(source: RecipeSource, groups: dict[str, list[RecipeSource]]) -> RecipeSource:
    name = next(name for name, group in groups.items() if _content_of(group[0]) == _content_of(source))
    changes = {"path": name, "format": "auto", "split": None, "min_predicted_iou": 0.0, "min_stability_score": 0.0}
    return source.model_copy(update=changes)


def _select_images(
    group: list[RecipeSource], data: Path, problems: Problems, subset: Subset | None
) -> tuple[LabelledFolder, list[int]]:
    """Return a folder and the indices of the images that its sources use."""
    folder = group[0].model_copy(update={"source": None}).open(data, problems, subset=subset)
    names = {one.source for one in group}
    if None in names:
        return folder, list(range(len(folder)))
    return folder, [index for index in range(len(folder)) if folder.entry(index).source in names]


def _pack_image(
    image: ImageArray,
    labelled: LabelledImage,
    content: dict[str, Any],
    folder: Path,
    *,
    max_side: int,
    quality: int,
) -> None:
    height, width = labelled.size
    scale = min(max_side / max(height, width), 1.0)
    number = len(content["images"]) + 1
    path = folder / "images" / f"{number:06}.jpg"
    if scale < 1 or labelled.path.suffix.lower() not in (".jpg", ".jpeg"):
        width, height = max(round(width * scale), 1), max(round(height * scale), 1)
        shrunk = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else image
        bgr = cv2.cvtColor(np.asarray(shrunk, dtype=np.uint8), cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        path.write_bytes(encoded.tobytes())
    else:
        path.write_bytes(labelled.path.read_bytes())
    entry = {"id": number, "file_name": path.name, "width": width, "height": height}
    origin = {} if labelled.source is None else {"source": labelled.source}
    content["images"].append(entry | origin | ({"partly_labelled": True} if labelled.is_partly_labelled else {}))
    for annotation in labelled.annotations:
        mask = shrink_mask(annotation_mask(annotation, labelled.size), labelled.size, (height, width))
        if not mask.area:
            continue
        identity = {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": 1}
        level = {"level": "part"} if annotation.is_part else {}
        kind = {"iscrowd": int(annotation.is_crowd), "source_category": annotation.label} | level
        content["annotations"].append(identity | mask_entry(mask, (height, width)) | kind)
