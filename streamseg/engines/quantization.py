"""Quantisation of exported graphs to 8 bits: calibration images, rounding and comparison. Experimental.

Only convolutions are quantised: weights per channel to signed bytes, inputs and outputs to unsigned bytes, with pairs
of QuantizeLinear and DequantizeLinear around them (QDQ), which ONNX Runtime and TensorRT fuse. Preprocessing, decoding
and suppression stay in float, and so do the first convolution and the last ones of each branch, because their values
are the pixels, box sides, scores and coefficients themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from streamseg.capture.images import find_image_files
from streamseg.engines import Raw
from streamseg.engines.own_graph import LAST_LAYERS, QUANTIZED
from streamseg.errors import ConfigError, DataError, SourceError, WeightsError
from streamseg.geometry import box_iou, letterbox
from streamseg.imaging import load_image
from streamseg.modeling.decoding import DecodedPredictions
from streamseg.modeling.nms import NmsSettings, apply_nms
from streamseg.modeling.preprocess import letterbox_images

__all__ = ["Agreement", "CalibrationBatches", "agreement", "calibration_batches", "quantize"]

_KEPT = re.compile("|".join((r"/network/model\.0/", "/network/backbone/stem/", *LAST_LAYERS)))
"""Pattern of the names of convolutions that stay in float: the first one, and the last one of each branch."""

_SAME_IOU = 0.7
"""Boxes with a higher IoU count as the same object: suppression would keep only one of them."""


@dataclass(frozen=True)
class Agreement:
    """Recall of one graph's detections by another."""

    num_objects: int
    """Number of objects of the first graph."""
    num_matched: int
    """Number of those objects with a box of the second graph at an IoU above 0.7."""
    box_difference_px: float
    """Median difference of the sides of matched boxes, in input pixels; NaN if nothing matched."""
    score_difference: float
    """Median difference of the scores of matched objects; NaN if nothing matched."""


class CalibrationBatches(CalibrationDataReader):  # type: ignore[misc]
    """Letterboxed images, one by one, for the calibration of ONNX Runtime. Can be iterated once."""

    def __init__(self, paths: list[Path], imgsz: int) -> None:
        """Store the paths; images are read on demand.

        Args:
            paths: paths of the images.
            imgsz: long side of the input, in pixels.
        """
        self.num_images = len(paths)
        self._batches = (_read(path, imgsz) for path in paths)

    def __len__(self) -> int:
        """Return the total number of images."""
        return self.num_images

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Iterate over the remaining images, each uint8 (1, H, W, 3) RGB."""
        return self._batches

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        """Return the next image, keyed by the name of the graph's input; None after the last one.

        Raises:
            DataError: the file is not an image.
        """
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


def calibration_batches(folder: str | Path, imgsz: int, num_images: int = 64) -> CalibrationBatches:
    """Select images of a folder, evenly spaced over its files sorted by name.

    Args:
        folder: folder of images similar to those that the graph will process.
        imgsz: long side of the input that the graph will run with, in pixels.
        num_images: maximum number of images, at least 1.

    Raises:
        ConfigError: `num_images` is below 1.
        DataError: the folder does not exist, or contains no images.
    """
    if num_images < 1:
        raise ConfigError(f"num_images must be at least 1, got {num_images}")
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; calibration requires a folder of images")
    try:
        paths = sorted(find_image_files(str(folder)))
    except SourceError as error:
        raise DataError(str(error)) from error
    count = min(num_images, len(paths))
    return CalibrationBatches([paths[index * len(paths) // count] for index in range(count)], imgsz)


def quantize(graph: bytes, batches: CalibrationBatches) -> bytes:
    """Quantise the convolutions of a graph to 8 bits.

    Args:
        graph: float32 graph written by `export_graph`, with or without suppression.
        batches: calibration images, whose minimum and maximum activations become the ranges; they are consumed.

    Returns:
        Contents of the .onnx file. Inputs, outputs and metadata are unchanged, except that `QUANTIZED` is added.

    Raises:
        WeightsError: the graph is not a float32 graph of `streamseg export`, or is already quantised.
        DataError: an image cannot be read.
    """
    model: Any = onnx.load_from_string(graph)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if "streamseg_graph" not in metadata or metadata.get("half") != "false" or QUANTIZED in metadata:
        raise WeightsError(
            "only float32 graphs of `streamseg export` can be quantised, and only once; export it again without --half"
        )
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    with TemporaryDirectory() as name:
        source, target = Path(name) / "float.onnx", Path(name) / "int8.onnx"
        # Batch norms are folded and shapes are known; without this mark, ONNX Runtime demands both on stderr.
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
        quantized, {**metadata, QUANTIZED: f"int8 convolutions, ranges from {batches.num_images} images"}
    )
    contents: bytes = quantized.SerializeToString()
    return contents


def agreement(outputs: Iterable[Iterable[Raw]]) -> Agreement:
    """Compare the objects of two graphs after suppression with the default thresholds.

    Args:
        outputs: for each image, the outputs of the first and the second graph; only the first image of a batch counts.
    """
    num_objects = 0
    sides, scores = [torch.zeros(0)], [torch.zeros(0)]
    for first, second in outputs:
        expected, found = _objects(first), _objects(second)
        num_objects += len(expected.scores)
        if not len(expected.scores) or not len(found.scores):
            continue
        overlaps, nearest = box_iou(expected.boxes, found.boxes).max(dim=1)
        matched = overlaps > _SAME_IOU
        nearest = nearest[matched]
        sides.append((expected.boxes[matched] - found.boxes[nearest]).abs().flatten())
        scores.append((expected.scores[matched] - found.scores[nearest]).abs())
    return Agreement(
        num_objects=num_objects,
        num_matched=sum(map(len, scores)),
        box_difference_px=float(torch.cat(sides).nanmedian()),
        score_difference=float(torch.cat(scores).nanmedian()),
    )


class _Objects(NamedTuple):
    boxes: torch.Tensor
    """(K, 4)"""
    scores: torch.Tensor
    """(K,)"""


def _objects(raw: Raw) -> _Objects:
    """Return the objects of the first image of a batch."""
    arrays = (raw.boxes, raw.scores, raw.mask_coefficients, raw.prototypes)
    kept = apply_nms(DecodedPredictions(*(torch.from_numpy(array[:1]) for array in arrays)), NmsSettings())
    count = int(kept.num_objects[0])
    return _Objects(kept.boxes[0, :count], kept.scores[0, :count])


def _read(path: Path, imgsz: int) -> npt.NDArray[np.uint8]:
    try:
        image = load_image(path)
    except SourceError as error:
        raise DataError(str(error)) from error
    return letterbox_images([image], [letterbox((image.shape[0], image.shape[1]), imgsz)])
