"""Differences between streamseg's masks and those of the reference packages (`golden/reference`), and their causes.

The tests check these figures against tolerances; `benchmarks/fidelity.py` prints them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from streamseg.geometry import Letterbox, clip_boxes, letterbox_into
from streamseg.modeling.decoding import DecodedPredictions
from streamseg.segmentation import instance_masks
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from tests.golden.reference import scripted
from tests.support.fidelity import OFFICIAL, PRESENT, chosen, golden

Masks = npt.NDArray[np.bool_]

Kind = Literal["native", "plain"]
"""`native`: at image size (`retina_masks`); `plain`: at the size of the network input."""


@dataclass(frozen=True)
class MaskDifference:
    """Comparison of the masks of one scene, with the causes of differing pixels."""

    mean_iou: float
    """Mean IoU of our masks with the reference's."""
    least_iou: float
    num_pixels: int
    """Number of pixels in either."""
    causes: dict[str, int]
    """Number of pixels that change as our rules are replaced by the reference's one by one, by rule."""
    unexplained: int
    """Number of pixels that still differ after all rules have been replaced."""


def scene_place(scene: scripted.MaskScene) -> Letterbox:
    """Return the position of the scene's image in its input."""
    return letterbox_into(scene.image_size, scene.input_size)


def scene_logits(scene: scripted.MaskScene) -> Tensor:
    """Compute mask logits (K, H / 4, W / 4)."""
    prototypes = torch.from_numpy(scene.prototypes)
    return (torch.from_numpy(scene.coefficients) @ prototypes.flatten(1)).view(-1, *prototypes.shape[1:])


def scene_instances(scene: scripted.MaskScene, kind: Kind, version: str) -> Instances:
    """Return the scene's objects; for `plain`, the image is the input itself, including padding."""
    boxes = torch.from_numpy(golden("masks", version)[f"{scene.name}/boxes"])
    place, size = scene_place(scene).to_image(4), scene.image_size
    if kind == "plain":
        boxes, place, size = torch.from_numpy(scene.boxes), GridTransform(4, 4, 0, 0), scene.input_size
    return Instances(clip_boxes(boxes, size), torch.ones(len(boxes)), scene_logits(scene), place, size)


def golden_masks(scene: scripted.MaskScene, kind: Kind, version: str) -> Masks:
    """Return the reference's masks (K, H, W)."""
    size = scene.image_size if kind == "native" else scene.input_size
    return _unpacked(golden("masks", version)[f"{scene.name}/{kind}"], (len(scene.boxes), *size))


def _unpacked(bits: npt.NDArray[np.uint8], shape: tuple[int, int, int]) -> Masks:
    return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(np.bool_)


def full_masks(instances: Instances) -> Masks:
    """Compute our masks at full size: (K, H, W)."""
    return np.stack([mask.full(instances.image_size) for mask in instance_masks(instances)])


def mask_ious(masks: Masks, others: Masks) -> npt.NDArray[np.float64]:
    """Return the IoU (K,) of masks (K, H, W); 1 if both are empty."""
    shared, union = (masks & others).sum(axis=(1, 2)), (masks | others).sum(axis=(1, 2))
    return np.where(union > 0, shared / np.maximum(union, 1), 1.0)


@cache
def mask_difference(name: str, kind: Kind, version: str) -> MaskDifference:
    """Compare our masks of a scripted scene with the reference's."""
    scene = scripted.mask_scene(name)
    return _difference(scene_instances(scene, kind, version), golden_masks(scene, kind, version), kind, version)


def network_mask_difference(decoded: DecodedPredictions, name: str, version: str) -> MaskDifference:
    """Compare masks of objects found by a network, in an image several times the input's size."""
    setting = scripted.NMS_SETTINGS["official_script"]
    rows = chosen(decoded.boxes[0].numpy(), decoded.scores[0].numpy(), setting)[: scripted.NUM_NETWORK_MASKS]
    input_size, factor = scripted.NETWORK_RUNS[name].input_size, scripted.NETWORK_IMAGE_SCALE
    size = (input_size[0] * factor, input_size[1] * factor)
    prototypes = decoded.prototypes[0]
    instances = Instances(
        boxes=clip_boxes(decoded.boxes[0, rows] * factor, size),
        scores=decoded.scores[0, rows],
        mask_logits=(decoded.mask_coefficients[0, rows] @ prototypes.flatten(1)).view(-1, *prototypes.shape[1:]),
        grid_to_image=letterbox_into(size, input_size).to_image(4),
        image_size=size,
    )
    theirs = _unpacked(golden("network", version)[f"{name}/native"], (len(rows), *size))
    return _difference(instances, theirs, "native", version)


def _difference(instances: Instances, theirs: Masks, kind: Kind, version: str) -> MaskDifference:
    ours = state = full_masks(instances)
    causes = {}
    for cause, masks_of in _replaced_rules(instances, kind, version):
        masks = masks_of()
        causes[cause] = int((state != masks).sum())
        state = masks
    ious = mask_ious(ours, theirs)
    return MaskDifference(
        mean_iou=float(ious.mean()),
        least_iou=float(ious.min()),
        num_pixels=int((ours | theirs).sum()),
        causes=causes,
        unexplained=int((state != theirs).sum()),
    )


def _replaced_rules(instances: Instances, kind: Kind, version: str) -> list[tuple[str, Callable[[], Masks]]]:
    """Return causes with functions that compute the masks after replacing this and all earlier rules."""
    height, width = instances.image_size
    whole = instances.boxes.new_tensor([0, 0, width, height]).expand(len(instances), 4)
    uncut = full_masks(
        Instances(whole, instances.scores, instances.mask_logits, instances.grid_to_image, (height, width))
    )
    by_index = _inside(instances.boxes, (height, width))

    def enlarged(*, sigmoid: bool) -> Masks:
        logits = instances.mask_logits.sigmoid() - 0.5 if sigmoid else instances.mask_logits
        if kind == "plain" and version != PRESENT:
            grid = (logits.shape[1], logits.shape[2])
            # In cells; outside the box the value is 0 before the threshold is subtracted.
            cut = torch.from_numpy(_inside(instances.boxes / 4, grid))
            floor = -0.5 if sigmoid else 0.0
            return _stretched(torch.where(cut, logits, floor), (height, width)) > 0
        content = logits if kind == "plain" else _without_padding(logits, (height, width), version)
        return (_stretched(content, (height, width)) > 0) & by_index

    rules: list[tuple[str, Callable[[], Masks]]] = [
        ("border", lambda: uncut & _inside(instances.boxes - 0.5, (height, width))),
        ("crop by index", lambda: uncut & by_index),
    ]
    moved = "crop before enlarging" if kind == "plain" and version != PRESENT else "padding in whole cells"
    if kind == "native" or version != PRESENT:
        rules.append((moved, lambda: enlarged(sigmoid=False)))
    if version == OFFICIAL:
        rules.append(("sigmoid before enlarging", lambda: enlarged(sigmoid=True)))
    return rules


def _inside(boxes: Tensor, size: tuple[int, int]) -> Masks:
    """Return the pixels whose index is in the boxes (K, 4): bool (K, H, W). For centres, shift the boxes by -0.5."""
    x, y = torch.arange(size[1])[None, None, :], torch.arange(size[0])[None, :, None]
    x0, y0, x1, y1 = boxes[:, :, None, None].unbind(dim=1)
    return ((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).numpy()


def _stretched(logits: Tensor, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    return functional.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0].numpy()


def _without_padding(logits: Tensor, image_size: tuple[int, int], version: str) -> Tensor:
    """Crop the logits of the image, in whole cells as the reference does."""
    extents = (logits.shape[1], logits.shape[2])
    if version != PRESENT:  # the padding is rounded down on each side
        gain = min(extent / length for extent, length in zip(extents, image_size, strict=True))
        pads = [(extent - length * gain) / 2 for extent, length in zip(extents, image_size, strict=True)]
        rows, columns = (slice(int(pad), int(extent - pad)) for pad, extent in zip(pads, extents, strict=True))
        return logits[:, rows, columns]
    # The grid is first refined (1, 2 or 4 times) so that the input's padding is a whole number of cells.
    input_gain = min(4 * extent / length for extent, length in zip(extents, image_size, strict=True))
    totals = [
        4 * extent - max(round(length * input_gain), 1) for extent, length in zip(extents, image_size, strict=True)
    ]
    finer = next(f for f in (1, 2, 4) if all(pad % (4 // f) == 0 for total in totals for pad in (total, total // 2)))
    if finer > 1:
        logits = functional.interpolate(logits[None], scale_factor=finer, mode="bilinear", align_corners=False)[0]
    extents = (logits.shape[1], logits.shape[2])
    gain = min(extent / length for extent, length in zip(extents, image_size, strict=True))
    contents = [max(round(length * gain), 1) for length in image_size]
    begins = [round((extent - content) / 2 - 0.1) for extent, content in zip(extents, contents, strict=True)]
    rows, columns = (slice(begin, begin + content) for begin, content in zip(begins, contents, strict=True))
    return logits[:, rows, columns]


def stretched_iou(name: str, version: str) -> float:
    """Return the mean IoU of our masks with plain ones stretched including their padding, as drawn officially."""
    scene = scripted.mask_scene(name)
    ours = full_masks(scene_instances(scene, "native", version))
    plain = torch.from_numpy(golden_masks(scene, "plain", version)).float()
    return float(mask_ious(ours, functional.interpolate(plain[None], scene.image_size)[0].numpy() > 0).mean())


def box_difference(name: str, version: str) -> tuple[float, float]:
    """Return the largest difference of boxes in the image, and its bound from one gain for both axes, in pixels."""
    scene = scripted.mask_scene(name)
    theirs = golden("masks", version)[f"{name}/boxes"]
    place = scene_place(scene)
    scale_x, scale_y, offset_x, offset_y = place.to_image()
    scale, offset = np.array([scale_x, scale_y] * 2), np.array([offset_x, offset_y] * 2)
    ours = clip_boxes(torch.from_numpy(scene.boxes * scale + offset), scene.image_size).numpy()
    return float(np.abs(ours - theirs).max()), max(scale_x, scale_y)
