"""Non-maximum suppression inside an exported graph: what passes it is few enough to carry whole masks.

Whoever runs such a graph needs ONNX Runtime and NumPy alone, for prompts too. Which objects lie at a point:

    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession("nms.onnx")
    images = np.full((1, 384, 640, 3), 114, np.uint8)  # sides in multiples of 32, padding grey
    images[0, 12:372] = picture  # RGB (360, 640, 3): 1280x720 at half the size
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
    at_point = np.flatnonzero(inside & in_box)  # the surest first; rows behind num_objects are zeros, nowhere inside
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

__all__ = ["Suppressed", "Suppression", "apply_nms", "nms_from_json", "nms_to_json"]


@dataclass(frozen=True)
class NmsSettings:
    """The thresholds that a graph is exported with."""

    conf: float = 0.25
    """Objects score more than this, 0..1."""
    iou: float = 0.7
    """Boxes that overlap a better one by more than this are removed, 0..1."""
    max_det: int = 100
    """Rows per picture, 1..3000."""

    def __post_init__(self) -> None:
        for name, value in {"conf": self.conf, "iou": self.iou}.items():
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} must be 0..1, got {value}")
        if not 1 <= self.max_det <= 3000:
            raise ConfigError(f"max_det must be 1..3000, got {self.max_det}")


class NmsOutput(NamedTuple):
    """The N best objects of each picture by descending score; rows of zeros behind the last one."""

    boxes: Tensor
    """float32 (B, N, 4) xyxy, continuous input pixels; may reach beyond the input."""
    scores: Tensor
    """float32 (B, N), 0..1, descending."""
    mask_coefficients: Tensor
    """(B, N, num_masks), as the network gave them."""
    prototypes: Tensor
    """(B, num_masks, H / 4, W / 4), as the network gave them."""
    mask_logits: Tensor
    """float32 (B, N, H / 4, W / 4); inside where > 0."""
    num_objects: Tensor
    """int64 (B,), 0..N."""


def apply_nms(decoded: DecodedPredictions, suppression: NmsSettings) -> NmsOutput:
    """The rows that `geometry.nms` keeps, as pure tensor operations, in graphs with the NonMaxSuppression operator.

    Both take the box that comes first among equal scores (ONNX leaves it open, ONNX Runtime does so). Both work in
    float32, but ONNX compares a quotient, so that an overlap of exactly `iou` may fall on either side.

    Args:
        decoded: A anchors of B pictures; A may be smaller than `max_det`.
        suppression: the thresholds.
    """
    boxes, scores, coefficients, prototypes = decoded
    num_anchors, most = scores.shape[1], suppression.max_det
    chosen: Tensor = _Choice.apply(boxes, scores.unsqueeze(1), suppression)  # type: ignore[no-untyped-call]  # (K, 3)
    rows = chosen[:, 0] * num_anchors + chosen[:, 2]  # (K,), all pictures' anchors one after the other
    passed = torch.zeros_like(scores).flatten().scatter(0, rows, 1.0).view_as(scores)
    ranked = torch.where(passed > 0, scores, -torch.ones_like(scores))  # (B, A)
    padding = -torch.ones_like(scores[:, :1]).expand(-1, most)
    best, index = _best(torch.cat([ranked, padding], dim=1), most)  # (B, N)
    is_object = best >= 0
    index = torch.where(is_object, index, torch.zeros_like(index))
    coefficients = _rows(coefficients, index, is_object)
    logits = torch.matmul(coefficients.float(), prototypes.float().flatten(2))  # (B, N, H / 4 * W / 4)
    return NmsOutput(
        _rows(boxes, index, is_object),
        torch.where(is_object, best, torch.zeros_like(best)),
        coefficients,
        prototypes,
        logits.view(-1, most, *prototypes.shape[2:]),
        is_object.long().sum(dim=1),
    )


def _best(values: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The `most` largest of each row of values (B, A), and where they are; of equal ones the first comes first."""
    if torch.onnx.is_in_onnx_export():  # ONNX's operator promises that order, torch's own does not
        best, index = values.topk(most, dim=1)
        return best, index
    ranked, index = values.sort(dim=1, descending=True, stable=True)
    return ranked[:, :most], index[:, :most]


def _rows(values: Tensor, index: Tensor, is_object: Tensor) -> Tensor:
    """Rows `index` (B, N) of values (B, A, C), zeros where there is no object."""
    taken = values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[2]))
    return torch.where(is_object.unsqueeze(-1), taken, torch.zeros_like(taken))


class _Choice(torch.autograd.Function):
    """Boxes (B, A, 4) and scores (B, 1, A) to int64 (K, 3): picture, class (0) and anchor of each that is kept."""

    @staticmethod
    def forward(context: Any, boxes: Tensor, scores: Tensor, suppression: NmsSettings) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            # The exporter puts the operator in place of this all; what came of its own trial picture is not looked at.
            return torch.zeros((1, 3), dtype=torch.int64)
        kept = []
        for picture in range(len(boxes)):
            candidates = torch.nonzero(scores[picture, 0] > suppression.conf)[:, 0]
            best = nms(
                boxes[picture][candidates],
                scores[picture, 0][candidates],
                suppression.iou,
                max_kept=suppression.max_det,
            )
            anchors = candidates[best]
            kept.append(
                torch.stack([torch.full_like(anchors, picture), torch.zeros_like(anchors), anchors], dim=1)
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
    """The thresholds as text: what a graph carries among its metadata."""
    return json.dumps(asdict(suppression))


def nms_from_json(text: str) -> NmsSettings:
    """The opposite of `nms_to_json`.

    Raises:
        WeightsError: the text holds no such thresholds.
    """
    try:
        return NmsSettings(**json.loads(text))
    except (ValueError, TypeError, ConfigError) as error:
        raise WeightsError(f"the thresholds in the metadata are damaged ({error}); export the graph again") from error
