"""Selection of detections with static shapes: `candidates.select_detections` as tensor operations for a whole batch."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from streamseg.modeling.fused import fused_iou
from streamseg.segmentation.candidates import EXPECTED_IOU, FOUND_IOU, SelectionSettings, best_fit, has_extent
from streamseg.segmentation.device.suppression import compact, suppress

__all__ = ["CANDIDATES", "Placement", "Regions", "Selected", "select"]

CANDIDATES: Final = 1024
"""Maximum number of anchors above the threshold that are suppressed on the device; with more, the host selects."""


class Placement(NamedTuple):
    """Placement of each image in the network's input."""

    scale: Tensor
    """float32 (B, 4): image pixels per input pixel, for x, y, x, y."""
    offset: Tensor
    """float32 (B, 4): image position of the input's origin, for x, y, x, y."""
    limits: Tensor
    """float32 (B, 4): width, height, width, height of the image."""

    def to_image(self, boxes: Tensor) -> Tensor:
        """Transform boxes (B, N, 4) xyxy from the input to the image, and clip them to it."""
        return self.clip(boxes * self.scale[:, None] + self.offset[:, None])

    def clip(self, boxes: Tensor) -> Tensor:
        """Clip boxes (B, N, 4) xyxy to the image."""
        return torch.minimum(boxes.clamp(min=0), self.limits[:, None])


class Regions(NamedTuple):
    """Search regions of each image, padded with boxes of zeros, which have no effect."""

    prompted: Tensor
    """float32 (B, P, 4) xyxy, pixels of the image; P may be 0."""
    expected: Tensor
    """float32 (B, E, 4) xyxy, pixels of the image; E may be 0."""


class Selected(NamedTuple):
    """The selected objects by descending score; rows from `counts` on are without meaning."""

    anchors: Tensor
    """int64 (B, N)."""
    boxes: Tensor
    """float32 (B, N, 4) xyxy, pixels of the image."""
    scores: Tensor
    """float32 (B, N), 0..1."""
    counts: Tensor
    """int64 (B,): number of objects, 0..N."""
    is_exact: Tensor
    """bool (B,): False if suppression has not settled, or there were more candidates than fit: use the host."""


class _Rows(NamedTuple):
    """Some anchors of each image, with their boxes."""

    anchors: Tensor
    """int64 (B, N)."""
    boxes: Tensor
    """float32 (B, N, 4) xyxy, pixels of the image."""
    scores: Tensor
    """float32 (B, N)."""
    valid: Tensor
    """bool (B, N)."""


def select(
    boxes: Tensor, scores: Tensor, placement: Placement, regions: Regions, settings: SelectionSettings
) -> Selected:
    """Select the detections of B images among A anchors each, A at least 1.

    Args:
        boxes: float32 (B, A, 4) xyxy, pixels of the input.
        scores: float32 (B, A), 0..1.
        placement: placement of the images in the input.
        regions: search regions.
        settings: thresholds.

    Returns:
        N = max(max_det, P) rows per image. If `is_exact`, rows and boxes equal those of `select_detections`.
    """
    num_rows = max(settings.max_det, regions.prompted.shape[1])
    every = placement.to_image(boxes)  # (B, A, 4)
    found, is_exact = _above_threshold(boxes, scores, every, settings)
    if regions.prompted.shape[1]:
        found = _with_prompted(found, regions.prompted, every, scores, placement, settings, num_rows)
    if regions.expected.shape[1]:
        found, settled = _with_expected(found, regions.expected, every, scores, placement, settings, num_rows)
        is_exact = is_exact & settled
    ranks = found.scores.masked_fill(~found.valid, -1.0)
    ranks, order = ranks.sort(dim=1, descending=True, stable=True)
    by_score = _gathered(found, order)
    # Boxes entirely in the padding are not objects.
    is_object = by_score.valid & has_extent(by_score.boxes)
    return Selected(*compact(is_object, num_rows, by_score.anchors, by_score.boxes, ranks), is_exact)


def _above_threshold(boxes: Tensor, scores: Tensor, every: Tensor, settings: SelectionSettings) -> tuple[_Rows, Tensor]:
    """Return the rows that pass threshold and suppression, at most `max_det`, and whether they are exact (B,)."""
    most = min(max(CANDIDATES, settings.max_det), scores.shape[1])
    ranked, order = scores.sort(dim=1, descending=True, stable=True)
    ranked, anchors = ranked[:, :most], order[:, :most]
    ranked = ranked.contiguous()
    keep, settled = suppress(boxes.gather(1, _wide(anchors)), ranked > settings.conf, settings.iou)
    rank = keep.cumsum(dim=1)
    # What follows the last row that is taken need not have settled.
    is_exact = (settled | (rank > settings.max_det)).all(dim=1)
    is_exact = is_exact & ((scores > settings.conf).sum(dim=1) <= most)
    valid = keep & (rank <= settings.max_det)
    return _Rows(anchors.contiguous(), every.gather(1, _wide(anchors)), ranked, valid), is_exact


def _with_prompted(
    found: _Rows,
    prompted: Tensor,
    every: Tensor,
    scores: Tensor,
    placement: Placement,
    settings: SelectionSettings,
    num_rows: int,
) -> _Rows:
    """Put the objects of prompted boxes (B, P, 4) first, in place of objects that overlap them."""
    prompted = placement.clip(prompted)
    is_real = has_extent(prompted)  # (B, P)
    fitting, _ = best_fit(prompted, every, scores, 0.0, overlaps=fused_iou)
    is_near = ~(fused_iou(found.boxes, prompted) <= settings.iou)
    is_same = found.anchors[:, :, None] == fitting[:, None, :]
    others = found.valid & ~((is_near | is_same) & is_real[:, None, :]).any(dim=2)
    room = settings.max_det - is_real.sum(dim=1, keepdim=True)
    others = others & (others.cumsum(dim=1) <= room)
    return _joined(_Rows(fitting, prompted, scores.gather(1, fitting), is_real), found._replace(valid=others), num_rows)


def _with_expected(
    found: _Rows,
    expected: Tensor,
    every: Tensor,
    scores: Tensor,
    placement: Placement,
    settings: SelectionSettings,
    num_rows: int,
) -> tuple[_Rows, Tensor]:
    """Append objects for expected boxes (B, E, 4) without a detection; also return whether they are exact (B,)."""
    num_anchors = scores.shape[1]
    expected = placement.clip(expected)
    overlap = fused_iou(expected, found.boxes).masked_fill(~found.valid[:, None, :], -1.0)
    is_missing = overlap.amax(dim=2) < FOUND_IOU
    allowed = every.masked_fill(~(scores > settings.expected_conf)[..., None], 0.0)  # the others fit nowhere
    best, fits = best_fit(expected, allowed, scores, EXPECTED_IOU, overlaps=fused_iou)
    # Several expected boxes may select the same anchor.
    anchors = best.masked_fill(~(fits & is_missing), num_anchors).sort(dim=1).values
    is_first = torch.cat([anchors[:, :1] >= 0, anchors[:, 1:] != anchors[:, :-1]], dim=1)
    valid = is_first & (anchors < num_anchors)
    anchors = anchors.clamp(max=num_anchors - 1)
    ranks = scores.gather(1, anchors).masked_fill(~valid, -1.0)
    order = ranks.sort(dim=1, descending=True, stable=True).indices
    more = _gathered(_Rows(anchors, every.gather(1, _wide(anchors)), ranks, valid), order)
    keep, settled = suppress(more.boxes, more.valid, settings.iou)
    keep = keep & (keep.cumsum(dim=1) <= settings.max_det - found.valid.sum(dim=1, keepdim=True))
    return _joined(found, more._replace(valid=keep), num_rows), settled.all(dim=1)


def _joined(first: _Rows, second: _Rows, num_rows: int) -> _Rows:
    """Concatenate the valid rows of both, which are at most `num_rows`."""
    anchors, boxes, scores, valid = (torch.cat(pair, dim=1) for pair in zip(first, second, strict=True))
    anchors, boxes, scores, counts = compact(valid, num_rows, anchors, boxes, scores)
    positions = torch.arange(num_rows, device=valid.device)
    return _Rows(anchors, boxes, scores, positions < counts[:, None])


def _gathered(rows: _Rows, order: Tensor) -> _Rows:
    anchors, scores, valid = (one.gather(1, order) for one in (rows.anchors, rows.scores, rows.valid))
    return _Rows(anchors, rows.boxes.gather(1, _wide(order)), scores, valid)


def _wide(index: Tensor) -> Tensor:
    """Expand an index (B, N) to select boxes."""
    return index.unsqueeze(-1).expand(-1, -1, 4)
