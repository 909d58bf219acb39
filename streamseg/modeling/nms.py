"""Non-maximum suppression inside an exported graph: few enough objects remain to return whole masks.

Running such a graph needs only ONNX Runtime and NumPy, even with prompts. Example: select the objects at a point.

    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession("nms.onnx")
    images = np.full((1, 384, 640, 3), 114, np.uint8)  # sides in multiples of 32, padding grey
    images[0, 12:372] = image  # RGB (360, 640, 3): 1280x720 at half the size
    x, y = 320.5, 12 + 180.5  # the prompt, in pixels of the input
    names = ["boxes", "scores", "mask_logits", "num_objects"]
    boxes, scores, logits, num_objects = (array[0] for array in session.run(names, {"images": images}))
    height, width = logits.shape[1:]
    column, row = np.clip(x / 4 - 0.5, 0, width - 1), np.clip(y / 4 - 0.5, 0, height - 1)
    left, top = int(column), int(row)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    upper = logits[:, top, left] * (1 - column + left) + logits[:, top, right] * (column - left)
    lower = logits[:, bottom, left] * (1 - column + left) + logits[:, bottom, right] * (column - left)
    inside = upper * (1 - row + top) + lower * (row - top) > 0
    in_box = (boxes[:, 0] <= x) & (x < boxes[:, 2]) & (boxes[:, 1] <= y) & (y < boxes[:, 3])
    at_point = np.flatnonzero(inside & in_box)  # by descending score; padding rows never match
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from streamseg.errors import ConfigError, WeightsError
from streamseg.geometry import nms
from streamseg.modeling.decoding import DecodedPredictions

__all__ = ["NmsOutput", "NmsSettings", "apply_nms", "nms_from_json", "nms_to_json"]


@dataclass(frozen=True)
class NmsSettings:
    """Thresholds of the non-maximum suppression that a graph is exported with."""

    conf: float = 0.25
    """Minimum score (exclusive), 0..1."""
    iou: float = 0.7
    """A box is removed if its IoU with a higher-scoring one exceeds this, 0..1."""
    max_det: int = 100
    """Maximum number of objects per image, 1..3000."""

    def __post_init__(self) -> None:
        for name, value in {"conf": self.conf, "iou": self.iou}.items():
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} must be 0..1, got {value}")
        if not 1 <= self.max_det <= 3000:
            raise ConfigError(f"max_det must be 1..3000, got {self.max_det}")


class NmsOutput(NamedTuple):
    """The N best objects of each image by descending score, padded with rows of zeros."""

    boxes: Tensor
    """float32 (B, N, 4) xyxy, continuous input pixels; may reach beyond the input."""
    scores: Tensor
    """float32 (B, N), 0..1, descending."""
    mask_coefficients: Tensor
    """(B, N, num_masks), as predicted by the network."""
    prototypes: Tensor
    """(B, num_masks, H / 4, W / 4), as predicted by the network."""
    mask_logits: Tensor
    """float32 (B, N, H / 4, W / 4); > 0 inside the mask."""
    num_objects: Tensor
    """int64 (B,): number of objects per image, 0..N."""


def apply_nms(decoded: DecodedPredictions, suppression: NmsSettings) -> NmsOutput:
    """Select the rows that `geometry.nms` keeps, with tensor operations that export to ONNX's NonMaxSuppression.

    Among equal scores, both keep the first box (ONNX does not specify the order, ONNX Runtime behaves this way). Both
    compute in float32, but ONNX compares a quotient, so an overlap of exactly `iou` may be decided differently.

    Args:
        decoded: A anchors of B images; A may be smaller than `max_det`.
        suppression: thresholds and the maximum number of objects.
    """
    boxes, scores, coefficients, prototypes, _ = decoded
    num_anchors, count = scores.shape[1], suppression.max_det
    kept: Tensor = _Nms.apply(boxes, scores.unsqueeze(1), suppression)  # type: ignore[no-untyped-call]  # (K, 3)
    rows = kept[:, 0] * num_anchors + kept[:, 2]  # (K,), indices into the anchors of all images, concatenated
    is_kept = torch.zeros_like(scores).flatten().scatter(0, rows, 1.0).view_as(scores)
    ranked = torch.where(is_kept > 0, scores, -torch.ones_like(scores))  # (B, A)
    padding = -torch.ones_like(scores[:, :1]).expand(-1, count)
    best, index = _top(torch.cat([ranked, padding], dim=1), count)  # (B, N)
    is_object = best >= 0
    index = torch.where(is_object, index, torch.zeros_like(index))
    coefficients = _gather_rows(coefficients, index, is_object)
    logits = torch.matmul(coefficients.float(), prototypes.float().flatten(2))  # (B, N, H / 4 * W / 4)
    return NmsOutput(
        _gather_rows(boxes, index, is_object),
        torch.where(is_object, best, torch.zeros_like(best)),
        coefficients,
        prototypes,
        logits.view(-1, count, *prototypes.shape[2:]),
        is_object.long().sum(dim=1),
    )


def _top(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` largest values of each row of (B, A) and their indices; ties keep their order."""
    if torch.onnx.is_in_onnx_export():  # ONNX's TopK guarantees the order of ties, torch's does not
        best, index = values.topk(count, dim=1)
        return best, index
    ranked, index = values.sort(dim=1, descending=True, stable=True)
    return ranked[:, :count], index[:, :count]


def _gather_rows(values: Tensor, index: Tensor, is_object: Tensor) -> Tensor:
    """Return rows `index` (B, N) of values (B, A, C), zeros for rows without an object."""
    taken = values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[2]))
    return torch.where(is_object.unsqueeze(-1), taken, torch.zeros_like(taken))


class _Nms(torch.autograd.Function):
    """Boxes (B, A, 4) and scores (B, 1, A) to int64 (K, 3): image, class (0) and anchor of each kept box."""

    @staticmethod
    def forward(context: Any, boxes: Tensor, scores: Tensor, suppression: NmsSettings) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            # The exporter replaces this function by the operator; the result for its example input is not used.
            return torch.zeros((1, 3), dtype=torch.int64)
        kept = []
        for image in range(len(boxes)):
            candidates = torch.nonzero(scores[image, 0] > suppression.conf)[:, 0]
            best = nms(
                boxes[image][candidates],
                scores[image, 0][candidates],
                suppression.iou,
                max_kept=suppression.max_det,
            )
            anchors = candidates[best]
            kept.append(
                torch.stack([torch.full_like(anchors, image), torch.zeros_like(anchors), anchors], dim=1)
            )  # (K, 3)
        return torch.cat(kept)

    @staticmethod
    def symbolic(graph: Any, boxes: Any, scores: Any, suppression: NmsSettings) -> Any:
        thresholds = [
            torch.tensor([suppression.max_det]),
            torch.tensor([suppression.iou]),
            torch.tensor([suppression.conf]),
        ]
        constants = [graph.op("Constant", value_t=threshold) for threshold in thresholds]
        return graph.op("NonMaxSuppression", boxes, scores, *constants)


def nms_to_json(suppression: NmsSettings) -> str:
    """Serialize the settings for the metadata of a graph."""
    return json.dumps(asdict(suppression))


def nms_from_json(text: str) -> NmsSettings:
    """Parse the result of `nms_to_json`.

    Raises:
        WeightsError: the text does not contain valid settings.
    """
    try:
        return NmsSettings(**json.loads(text))
    except (ValueError, TypeError, ConfigError) as error:
        raise WeightsError(
            f"the suppression thresholds in the metadata are invalid ({error}); export the graph again"
        ) from error
