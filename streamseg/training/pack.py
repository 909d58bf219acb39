"""Everything that a recipe trains on in one small folder, to be carried to another machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from streamseg.datasets.coco import LabelledImage, annotation_mask, read_image
from streamseg.datasets.coco_writer import mask_entry, new_folder, write_instances
from streamseg.datasets.samples import LabelledFolder, shrink_mask
from streamseg.training.recipe import Recipe, RecipeSource

__all__ = ["Packed", "pack_recipe"]


@dataclass(frozen=True)
class Packed:
    """What was written."""

    num_pictures: int
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
) -> Packed:
    """Write the pictures of a recipe's sources with their labels, and the recipe for them as `recipe.yaml`.

    Pictures are in the order in which they were, so that the packed recipe draws the same ones.

    Args:
        recipe: what to pack.
        data: folder that its paths are relative to.
        out: must be empty, or not there.
        max_side: larger pictures are shrunk to this long side in pixels; JPEG files that are not stay as they are.
        quality: JPEG quality of what is written anew, 1..100.
        on_image: called with how many pictures are done, and of how many.

    Raises:
        ConfigError: a source has a key of another format.
        DataError: a source or a picture is broken, or `out` cannot be written.
    """
    recipe.open_sources(data)  # what is wrong with any of them is said before the first is packed
    groups = _by_folder(recipe.sources)
    wanted = {name: _wanted(group, data) for name, group in groups.items()}
    total = sum(len(indices) for _, indices in wanted.values())
    done, num_annotations = 0, 0
    with new_folder(out):
        for name, (folder, indices) in wanted.items():
            (out / name / "images").mkdir(parents=True)
            content: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "object"}]}
            for index in indices:
                _pack_picture(folder.entry(index), content, out / name, max_side=max_side, quality=quality)
                done += 1
                on_image(done, total)
            write_instances(out / name, content)
            num_annotations += len(content["annotations"])
        packed = recipe.model_copy(
            update={"sources": tuple(_packed_source(one, groups) for one in recipe.sources)}
        ).model_dump(mode="json", exclude_defaults=True)
        (out / "recipe.yaml").write_text(yaml.safe_dump(packed, sort_keys=False, allow_unicode=True), encoding="utf-8")
        num_bytes = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return Packed(total, num_annotations, num_bytes)


def _by_folder(sources: tuple[RecipeSource, ...]) -> dict[str, list[RecipeSource]]:
    """Sources by the name of the packed folder that they share: those that differ in what is drawn from it only."""
    groups: dict[str, list[RecipeSource]] = {}
    for one in sources:
        name, number = Path(one.path).name or "data", 1
        while name in groups and _content_of(groups[name][0]) != _content_of(one):
            number += 1
            name = f"{Path(one.path).name or 'data'}-{number}"
        groups.setdefault(name, []).append(one)
    return groups


def _content_of(source: RecipeSource) -> tuple[str, str, float, float]:
    return source.path, source.format, source.min_predicted_iou, source.min_stability_score


def _packed_source(source: RecipeSource, groups: dict[str, list[RecipeSource]]) -> RecipeSource:
    name = next(name for name, group in groups.items() if _content_of(group[0]) == _content_of(source))
    changes = {"path": name, "format": "auto", "min_predicted_iou": 0.0, "min_stability_score": 0.0}
    return source.model_copy(update=changes)


def _wanted(group: list[RecipeSource], data: Path) -> tuple[LabelledFolder, list[int]]:
    """A folder and which of its pictures its sources ask for."""
    folder = group[0].model_copy(update={"source": None}).open(data)
    names = {one.source for one in group}
    if None in names:
        return folder, list(range(len(folder)))
    return folder, [index for index in range(len(folder)) if folder.entry(index).source in names]


def _pack_picture(
    picture: LabelledImage, content: dict[str, Any], folder: Path, *, max_side: int, quality: int
) -> None:
    image = read_image(picture)
    height, width = picture.size
    scale = min(max_side / max(height, width), 1.0)
    number = len(content["images"]) + 1
    path = folder / "images" / f"{number:06}.jpg"
    if scale < 1 or picture.path.suffix.lower() not in (".jpg", ".jpeg"):
        width, height = max(round(width * scale), 1), max(round(height * scale), 1)
        shrunk = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else image
        bgr = cv2.cvtColor(np.asarray(shrunk, dtype=np.uint8), cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        path.write_bytes(encoded.tobytes())
    else:
        path.write_bytes(picture.path.read_bytes())
    entry = {"id": number, "file_name": path.name, "width": width, "height": height}
    content["images"].append(entry | ({} if picture.source is None else {"source": picture.source}))
    for annotation in picture.annotations:
        mask = shrink_mask(annotation_mask(annotation, picture.size), picture.size, (height, width))
        if not mask.area:
            continue
        identity = {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": 1}
        level = {"level": "part"} if annotation.is_part else {}
        kind = {"iscrowd": int(annotation.is_crowd), "source_category": annotation.label} | level
        content["annotations"].append(identity | mask_entry(mask, (height, width)) | kind)
