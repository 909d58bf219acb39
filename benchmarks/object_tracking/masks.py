"""Masks on the prototype grid of a network: conversion from ground truth, and IoU."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from benchmarks.object_tracking.scenes import SIZE
from streamseg.geometry import letterbox
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.synthetic.renderer import SceneTruth

__all__ = ["instances_of", "mask_iou", "truth_instances"]


def instances_of(boxes: np.ndarray, scores: np.ndarray, crops: list[CropMask], imgsz: int = 640) -> Instances:
    """Build instances on the prototype grid of a network of `imgsz`, each crop stretched over its box."""
    box = letterbox(SIZE, imgsz)
    transform = box.to_image(4)
    height, width = box.input_size[0] // 4, box.input_size[1] // 4
    logits = np.full((len(boxes), height, width), -4.0, np.float32)
    for row, crop in enumerate(crops):
        x0, y0 = (boxes[row, :2] - transform[2:]) / transform[:2]
        x1, y1 = (boxes[row, 2:] - transform[2:]) / transform[:2]
        cells = max(int(np.ceil(x1 - x0)), 1), max(int(np.ceil(y1 - y0)), 1)
        small = cv2.resize(crop.crop.astype(np.float32), cells, interpolation=cv2.INTER_AREA)
        scale_x, scale_y = (x1 - x0) / cells[0], (y1 - y0) / cells[1]
        place = np.array([[scale_x, 0, x0 + scale_x / 2 - 0.5], [0, scale_y, y0 + scale_y / 2 - 0.5]])
        cover = cv2.warpAffine(small, place, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        logits[row] = 8 * cover - 4
    return Instances(
        torch.from_numpy(boxes.astype(np.float32)),
        torch.from_numpy(scores.astype(np.float32)),
        torch.from_numpy(logits),
        transform,
        SIZE,
    )


def truth_instances(truth: SceneTruth, imgsz: int) -> Instances:
    """Return all objects of a frame of the scene as instances of a network of `imgsz`."""
    return instances_of(truth.boxes.astype(np.float64), np.ones(len(truth.boxes)), list(truth.masks), imgsz)


def mask_iou(first: Instances, second: Instances) -> np.ndarray:
    """Return the IoU (N, M) of all masks of two sets on the same grid."""
    masks, others = _grid_masks(first), _grid_masks(second)
    shared = masks @ others.T
    union = masks.sum(dim=1)[:, None] + others.sum(dim=1)[None, :] - shared
    return (shared / union.clamp(min=1)).numpy().astype(np.float64)


def _grid_masks(instances: Instances) -> torch.Tensor:
    """Return the masks on the grid, cut to their boxes: float (K, cells)."""
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    _, height, width = instances.mask_logits.shape
    x = (torch.arange(width) + 0.5) * scale_x + offset_x
    y = (torch.arange(height) + 0.5) * scale_y + offset_y
    x0, y0, x1, y1 = (side[:, None] for side in instances.boxes.unbind(dim=1))
    inside = ((y >= y0) & (y < y1))[:, :, None] & ((x >= x0) & (x < x1))[:, None, :]
    return ((instances.mask_logits > 0) & inside).flatten(1).float()
