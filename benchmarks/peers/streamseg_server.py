"""Server for streamseg itself: `python -m benchmarks.peers.streamseg_server`."""

from __future__ import annotations

import sys
from functools import partial
from importlib import metadata
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.peers.server import TINY_IMGSZ, Start, reserve_stdout, serve
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.structures.arrays import BoolArray, Float32Array, ImageArray
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask


class Streamseg:
    """`Segmenter`, then `instance_masks`."""

    def __init__(self) -> None:
        self._segmenter: Segmenter | None = None
        self._instances: Instances | None = None
        self._masks: list[CropMask] = []
        self._stack: BoolArray | None = None

    def start(self, start: Start) -> dict[str, Any]:
        """See `Program.start`. An .onnx file runs in ONNX Runtime, any other file in torch."""
        torch.set_num_threads(start.num_threads)
        cv2.setNumThreads(start.num_threads)
        engine: Any = start.engine
        tiny = Segmenter(start.weights, engine=engine, device="cpu", imgsz=TINY_IMGSZ, conf=0.5)
        (instances,) = tiny([np.zeros((TINY_IMGSZ, TINY_IMGSZ, 3), dtype=np.uint8)])
        instance_masks(instances)
        self._new_segmenter = partial(
            Segmenter, engine=tiny.engine, imgsz=start.imgsz, iou=start.iou, max_det=start.max_det
        )
        return {
            "version": metadata.version("streamseg"),
            "engine": tiny.engine.name,
            "num_threads": torch.get_num_threads(),
        }

    def set_image(self, image: ImageArray, conf: float) -> None:
        """See `Program.set_image`."""
        self._image = image
        self._segmenter = self._new_segmenter(conf=conf)

    def run_frame(self, *, stacked: bool) -> float:
        """See `Program.run_frame`."""
        segmenter = self._started
        (self._instances,) = segmenter([self._image])
        self._masks = instance_masks(self._instances, as_pixels=True)  # as the others return them
        if stacked:
            self._stack = self._stacked()
        return segmenter.timer.stages["network"].last

    def num_objects(self) -> int:
        """See `Program.num_objects`."""
        return sum(mask.crop.size > 0 for mask in self._masks)

    def result(self) -> tuple[Float32Array, BoolArray]:
        """See `Program.result`."""
        assert self._instances is not None
        masks = self._stacked()
        has_pixels = masks.any(axis=(1, 2))
        return self._instances.scores.numpy()[has_pixels], masks[has_pixels]

    def release(self) -> None:
        """See `Program.release`."""
        self._instances, self._masks, self._stack = None, [], None

    def _stacked(self) -> BoolArray:
        height, width = self._image.shape[:2]
        stack = np.zeros((len(self._masks), height, width), dtype=np.bool_)
        for canvas, mask in zip(stack, self._masks, strict=True):
            rows, columns = mask.crop.shape
            canvas[mask.y : mask.y + rows, mask.x : mask.x + columns] = mask.crop
        return stack

    @property
    def _started(self) -> Segmenter:
        assert self._segmenter is not None
        return self._segmenter


if __name__ == "__main__":
    serve(Streamseg(), sys.stdin, reserve_stdout())
