"""Exported graphs in 8 bits: which pictures show the ranges, and what is rounded. Experimental.

Convolutions alone are rounded: weights channel by channel to signed, what goes in and out to unsigned bytes, with pairs
of QuantizeLinear and DequantizeLinear around them (QDQ), which ONNX Runtime and TensorRT fuse. Preprocessing, decoding
and suppression stay as they are, and so do the first convolution and the last ones of each branch: their numbers
are pixels, box sides, scores and coefficients themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from streamseg.config import IMAGE_SUFFIXES
from streamseg.engines import Raw
from streamseg.errors import ConfigError, DataError, WeightsError
from streamseg.geometry import box_iou, letterbox
from streamseg.modeling.decoding import Decoded
from streamseg.modeling.nms import Suppression, suppress
from streamseg.modeling.preprocess import letterbox_images

__all__ = ["QUANTIZED", "Agreement", "CalibrationBatches", "agreement", "calibration_batches", "quantize"]

QUANTIZED = "quantized"
"""The entry of a graph's metadata that says what `quantize` did to it."""

_KEPT = re.compile(r"/network/model\.0/|/cv[234]\.\d/cv[234]\.\d\.2/Conv$|/proto/cv3/")
"""Names of the convolutions that stay in float: the first one, and the last one of each branch."""

_SAME_IOU = 0.7
"""Two boxes of one object overlap by more: what suppression leaves of it is one."""


@dataclass(frozen=True)
class Agreement:
    """How much of what one graph finds another one finds, too."""

    num_objects: int
    """Of the first graph."""
    num_again: int
    """How many of them have a box of the second graph on them, with an IoU above 0.7."""
    box_difference_px: float
    """Median over the sides of their boxes, in input pixels; nan where nothing was found again."""
    score_difference: float
    """Median over them; nan where nothing was found again."""


class CalibrationBatches(CalibrationDataReader):  # type: ignore[misc]
    """Pictures one by one, letterboxed: what ONNX Runtime's calibration asks for ranges. Can be gone through once."""

    def __init__(self, paths: list[Path], imgsz: int) -> None:
        """Read nothing yet.

        Args:
            paths: of the pictures.
            imgsz: long side of the input, in pixels.
        """
        self.num_pictures = len(paths)
        self._batches = (_read(path, imgsz) for path in paths)

    def __len__(self) -> int:
        """Pictures in all."""
        return self.num_pictures

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        """What is left, as uint8 (1, H, W, 3) RGB each."""
        return self._batches

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        """The next picture by the name of the graph's input; None after the last one.

        Raises:
            DataError: the file is no picture.
        """
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


def calibration_batches(folder: str | Path, imgsz: int, num_pictures: int = 64) -> CalibrationBatches:
    """Pictures of a folder, evenly spread over its files in the order of their names.

    Args:
        folder: with pictures such as the graph will see.
        imgsz: long side of the input that it will run with, in pixels.
        num_pictures: the most that are taken, at least 1.

    Raises:
        ConfigError: `num_pictures` is below 1.
        DataError: the folder is not there, or has no pictures.
    """
    if num_pictures < 1:
        raise ConfigError(f"num_pictures must be at least 1, got {num_pictures}")
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; calibration needs one with pictures")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not paths:
        raise DataError(f"no pictures in {folder}; their suffix must be one of {', '.join(sorted(IMAGE_SUFFIXES))}")
    count = min(num_pictures, len(paths))
    return CalibrationBatches([paths[index * len(paths) // count] for index in range(count)], imgsz)


def quantize(graph: bytes, batches: CalibrationBatches) -> bytes:
    """Round a graph's convolutions to 8 bits.

    Args:
        graph: as `export_graph` wrote it, in float32, with or without suppression.
        batches: whose smallest and largest values become the ranges; they are used up.

    Returns:
        The file's contents; inputs, outputs and metadata stay as they are, and `QUANTIZED` is added.

    Raises:
        WeightsError: the graph is no float32 graph of `streamseg export`, or quantized already.
        DataError: a picture cannot be read.
    """
    model: Any = onnx.load_from_string(graph)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if "streamseg_graph" not in metadata or metadata.get("half") != "false" or QUANTIZED in metadata:
        raise WeightsError("only float32 graphs of `streamseg export` can be quantized, once; export it without --half")
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    with TemporaryDirectory() as name:
        source, target = Path(name) / "float.onnx", Path(name) / "int8.onnx"
        # Batch norms are folded and shapes known already; without this mark ONNX Runtime asks for that on stderr.
        onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            batches,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=[node for node in convolutions if not _KEPT.search(node)],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        quantized: Any = onnx.load(target)
    onnx.helper.set_model_props(
        quantized, {**metadata, QUANTIZED: f"int8 convolutions, ranges from {batches.num_pictures} pictures"}
    )
    contents: bytes = quantized.SerializeToString()
    return contents


def agreement(answers: Iterable[Iterable[Raw]]) -> Agreement:
    """Compare the objects of two graphs, as suppression with its usual thresholds leaves them.

    Args:
        answers: for each picture, what the first and the second graph say; of batches, the first picture counts.
    """
    num_objects = 0
    sides, scores = [torch.zeros(0)], [torch.zeros(0)]
    for first, second in answers:
        theirs, others = _objects(first), _objects(second)
        num_objects += len(theirs.scores)
        if not len(theirs.scores) or not len(others.scores):
            continue
        overlaps, nearest = box_iou(theirs.boxes, others.boxes).max(dim=1)
        again = overlaps > _SAME_IOU
        nearest = nearest[again]
        sides.append((theirs.boxes[again] - others.boxes[nearest]).abs().flatten())
        scores.append((theirs.scores[again] - others.scores[nearest]).abs())
    return Agreement(
        num_objects=num_objects,
        num_again=sum(map(len, scores)),
        box_difference_px=float(torch.cat(sides).nanmedian()),
        score_difference=float(torch.cat(scores).nanmedian()),
    )


class _Objects(NamedTuple):
    boxes: torch.Tensor
    """(K, 4)"""
    scores: torch.Tensor
    """(K,)"""


def _objects(raw: Raw) -> _Objects:
    """Those of the first picture."""
    arrays = (raw.boxes, raw.scores, raw.mask_coefficients, raw.prototypes)
    chosen = suppress(Decoded(*(torch.from_numpy(array[:1]) for array in arrays)), Suppression())
    count = int(chosen.num_objects[0])
    return _Objects(chosen.boxes[0, :count], chosen.scores[0, :count])


def _read(path: Path, imgsz: int) -> npt.NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise DataError(f"{path} is no picture that can be read; take it out of the folder")
    image = np.asarray(picture, dtype=np.uint8)
    return letterbox_images([image], [letterbox((image.shape[0], image.shape[1]), imgsz)])
