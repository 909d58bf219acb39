"""streamseg, asked as its peers are: `python -m benchmarks.peers.streamseg_server`."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.peers.server import TINY_IMGSZ, Start, serve, taken_stdout
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.structures.instances import Instances
from streamseg.structures.message import CropMask


class Own:
    """`Segmenter`, then `instance_masks`."""

    def __init__(self) -> None:
        self._segmenter: Segmenter | None = None
        self._instances: Instances | None = None
        self._masks: list[CropMask] = []
        self._stack: npt.NDArray[np.bool_] | None = None

    def start(self, start: Start) -> dict[str, Any]:
        """See `Side.start`. An .onnx file runs in ONNX Runtime, another one in torch."""
        torch.set_num_threads(start.num_threads)
        cv2.setNumThreads(start.num_threads)
        engine: Any = start.engine
        tiny = Segmenter(start.weights, engine=engine, device="cpu", imgsz=TINY_IMGSZ, conf=0.5)
        (instances,) = tiny([np.zeros((TINY_IMGSZ, TINY_IMGSZ, 3), dtype=np.uint8)])
        instance_masks(instances)
        self._segmenter = Segmenter(engine=tiny.engine, imgsz=start.imgsz, iou=start.iou, max_det=start.max_det)
        return {
            "version": metadata.version("streamseg"),
            "engine": tiny.engine.name,
            "num_threads": torch.get_num_threads(),
        }

    def picture(self, image: npt.NDArray[np.uint8], conf: float) -> None:
        """See `Side.picture`."""
        self._image = image
        self._started.conf = conf

    def frame(self, *, stacked: bool) -> float:
        """See `Side.frame`."""
        segmenter = self._started
        (self._instances,) = segmenter([self._image])
        self._masks = instance_masks(self._instances)
        if stacked:
            self._stack = self._stacked()
        return segmenter.timer.stages["network"].last

    def num_objects(self) -> int:
        """See `Side.num_objects`."""
        return sum(mask.crop.size > 0 for mask in self._masks)

    def answer(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """See `Side.answer`."""
        assert self._instances is not None
        masks = self._stacked()
        some = masks.any(axis=(1, 2))
        return self._instances.scores.numpy()[some], masks[some]

    def forget(self) -> None:
        """See `Side.forget`."""
        self._instances, self._masks, self._stack = None, [], None

    def _stacked(self) -> npt.NDArray[np.bool_]:
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
    serve(Own(), sys.stdin, taken_stdout())
