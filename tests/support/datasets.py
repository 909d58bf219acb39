"""Labelled folders of drawn images, in COCO and SA-1B format."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from streamseg.structures.arrays import ImageArray, MaskArray
from tests.support.images import paint

Entry = dict[str, Any]

RED = (250, 20, 20)


def compressed(mask: MaskArray) -> Entry:
    """Return COCO's compressed run lengths of a full mask."""
    runs = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(runs["size"]), "counts": runs["counts"].decode("ascii")}


def uncompressed(mask: MaskArray) -> Entry:
    """Return the run lengths of a full mask as a list, column by column, background first."""
    flat = mask.T.ravel().astype(np.int8)
    bounds = np.flatnonzero(np.diff(flat, prepend=0))
    return {"size": list(mask.shape), "counts": np.diff([0, *bounds, flat.size]).tolist()}


def coco_labels(masks: Sequence[MaskArray], **keys: Any) -> list[Entry]:
    """Return one complete annotation per mask; `keys` override or extend each of them."""
    return [
        {
            "segmentation": compressed(mask),
            "area": int(mask.sum()),
            "bbox": coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))).tolist(),
            "iscrowd": 0,
        }
        | keys
        for mask in masks
    ]


def coco_folder(
    folder: Path,
    labelled_images: Sequence[tuple[ImageArray, Sequence[Entry]]],
    *,
    images: Sequence[Entry] = (),
    edit: Callable[[Entry], None] = lambda content: None,
) -> Path:
    """Write a COCO-format folder of lossless images.

    Args:
        folder: created if missing.
        labelled_images: pixels and annotations of each image; an annotation requires only `segmentation`. Ids count
            from 1.
        images: keys to add to the image entries.
        edit: changes the content of the JSON before it is written, to break it.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    content: Entry = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "object"}]}
    for number, (image, labels) in enumerate(labelled_images, start=1):
        name = f"{number:03}.png"
        assert cv2.imwrite(str(folder / "images" / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        entry = {"id": number, "file_name": name, "height": image.shape[0], "width": image.shape[1]}
        content["images"].append(entry | (images[number - 1] if images else {}))
        for annotation in labels:
            identity = len(content["annotations"]) + 1
            content["annotations"].append({"id": identity, "image_id": number, "category_id": 1} | annotation)
    edit(content)
    (folder / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_sa1b_entry(
    folder: Path,
    number: int,
    masks: Sequence[MaskArray],
    *,
    size: tuple[int, int],
    edit: Callable[[Entry], None] = lambda content: None,
    **keys: Any,
) -> ImageArray:
    """Write an SA-1B image with its JSON; `keys` apply to every annotation, lists hold one value for each.

    Returns:
        The pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image = paint(masks, [RED] * len(masks), size)
    assert cv2.imwrite(str(folder / f"sa_{number}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    annotations = []
    for row, mask in enumerate(masks):
        quality = {"predicted_iou": 0.95, "stability_score": 0.97} | keys
        own = {key: value[row] if isinstance(value, list) else value for key, value in quality.items()}
        annotations.append({"id": row, "segmentation": compressed(mask), "area": int(mask.sum()), **own})
    entry = {"image_id": number, "file_name": f"sa_{number}.png", "height": size[0], "width": size[1]}
    content = {"image": entry, "annotations": annotations}
    edit(content)
    (folder / f"sa_{number}.json").write_text(json.dumps(content), encoding="utf-8")
    return image
