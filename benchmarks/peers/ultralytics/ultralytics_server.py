"""Server for Ultralytics FastSAM; run it with the Python of its environment.

python -m benchmarks.peers.ultralytics.ultralytics_server
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp()
os.environ["YOLO_OFFLINE"] = "true"
os.environ["YOLO_AUTOINSTALL"] = "false"
os.environ["MPLBACKEND"] = "Agg"

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.peers.server import TINY_IMGSZ, Start, reserve_stdout, serve

RESPONSES = reserve_stdout()  # the package prints while it is imported


def has_compiled_operators() -> bool:
    """Return whether torchvision's operators are compatible with this build of torch; load them if so."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(library)
        except OSError:
            return False
        return True
    return False


def greedy_nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Apply NMS as documented by torchvision: by descending score, remove boxes with an IoU above the threshold."""
    order = scores.argsort(descending=True, stable=True)
    sides = boxes[order].numpy()
    areas = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1])
    low = np.maximum(sides[:, None, :2], sides[None, :, :2])
    high = np.minimum(sides[:, None, 2:], sides[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    removes = shared > np.float32(iou_threshold) * (areas[:, None] + areas - shared)
    removed = np.zeros(len(sides), dtype=np.bool_)
    kept = []
    for row in range(len(sides)):
        if not removed[row]:
            kept.append(row)
            removed |= removes[row]
    return order[kept]


OPERATORS_FIT = has_compiled_operators()
if not OPERATORS_FIT:
    # Without compiled operators, torchvision can be imported only if their schemas are defined.
    operators = torch.library.Library("torchvision", "DEF")
    operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

    torchvision.ops.nms = greedy_nms

import cv2  # noqa: E402
from ultralytics import FastSAM  # noqa: E402


class Ultralytics:
    """`model(image, retina_masks=True, ...)[0].masks.data`."""

    def __init__(self) -> None:
        self._result: Any = None
        self._masks: torch.Tensor | None = None

    def start(self, start: Start) -> dict[str, Any]:
        """See `Program.start`."""
        self._model = FastSAM(start.weights)
        self._options: dict[str, Any] = {
            "device": "cpu",
            "retina_masks": True,
            "iou": start.iou,
            "max_det": start.max_det,
            "verbose": False,
        }
        tiny = np.zeros((TINY_IMGSZ, TINY_IMGSZ, 3), dtype=np.uint8)
        self._model(tiny, imgsz=TINY_IMGSZ, conf=0.5, **self._options)
        # Ultralytics sets the number of threads to one below the number of cores with the first image.
        own_threads = torch.get_num_threads()
        torch.set_num_threads(start.num_threads)
        cv2.setNumThreads(start.num_threads)
        self._options["imgsz"] = start.imgsz
        return {
            "version": metadata.version("ultralytics"),
            "torch": torch.__version__,
            "engine": "torch",
            "num_threads": torch.get_num_threads(),
            "num_threads_of_itself": own_threads,
            "nms": "torchvision" if OPERATORS_FIT else "NumPy in place of torchvision's",
        }

    def set_image(self, image: npt.NDArray[np.uint8], conf: float) -> None:
        """See `Program.set_image`."""
        self._image = np.ascontiguousarray(image[..., ::-1])
        self._options["conf"] = conf

    def run_frame(self, *, stacked: bool) -> float:
        """See `Program.run_frame`. The masks are always stacked."""
        (self._result,) = self._model(self._image, **self._options)
        masks = self._result.masks
        self._masks = torch.empty(0, *self._image.shape[:2]) if masks is None else masks.data
        if self._masks.shape[1:] != self._image.shape[:2]:
            raise RuntimeError(f"masks of {tuple(self._masks.shape[1:])} for an image of {self._image.shape[:2]}")
        return float(self._result.speed["inference"])

    def num_objects(self) -> int:
        """See `Program.num_objects`. Ultralytics drops objects without pixels."""
        assert self._masks is not None
        return len(self._masks)

    def result(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """See `Program.result`."""
        assert self._masks is not None
        return self._result.boxes.conf.numpy(), self._masks.numpy().astype(np.bool_)

    def release(self) -> None:
        """See `Program.release`. The predictor also keeps the last result."""
        self._result = self._masks = None
        predictor = self._model.predictor
        if predictor is not None:
            predictor.results = None


if __name__ == "__main__":
    serve(Ultralytics(), sys.stdin, RESPONSES)
