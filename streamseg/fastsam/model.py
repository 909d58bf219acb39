"""`FastSAM`: the model of scripts, which predicts, measures, trains and exports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamseg.fastsam.data import DEFAULT_DATA, find_data, has_validation
from streamseg.fastsam.exporting import export_model
from streamseg.fastsam.image_model import ImageModel
from streamseg.fastsam.metrics import SegmentMetrics
from streamseg.fastsam.training import read_train_options, train_network
from streamseg.fastsam.validation import measure, read_val_options
from streamseg.training.trainer import Progress

__all__ = ["FastSAM"]


class FastSAM(ImageModel):
    """A model that finds every object in images; prompts select among these objects.

    The weights are read once per device and precision; the first read is in the constructor. Not thread-safe.
    """

    def val(
        self,
        data: str | Path = DEFAULT_DATA,
        *,
        on_image: Callable[[int, int], None] = lambda done, total: None,
        **options: Any,
    ) -> SegmentMetrics:
        """Measure boxes and masks against a labelled data set; its classes count as one.

        Args:
            data: a YOLO data set (`data.yaml`) or a COCO-format folder; see `find_data`.
            on_image: called with the number of images done and their total.
            **options: `split`, `imgsz`, `conf` (0.001), `iou` (0.7), `max_det` (300), `device`, `half`.

        Raises:
            ConfigError: an option is unknown, unavailable or out of range.
            DataError: the data set is missing or invalid, or none of its images is usable.
        """
        request, split = read_val_options(options)
        return measure(self._segmenter(request), data, split=split, on_image=on_image)

    def train(
        self,
        data: str | Path = DEFAULT_DATA,
        *,
        report: Callable[[Progress], None] | None = None,
        **options: Any,
    ) -> SegmentMetrics | None:
        """Fine-tune the weights on the split `train` of a data set, and use the new ones from then on.

        Writes `weights.safetensors` and the logs of the run into the folder `<project>/<name>`, which is
        `runs/segment/train` or the first free name with a number. `model_name` is then the path of the new weights.

        Args:
            data: see `val`.
            report: called with the losses every 50 steps; None prints them on standard error.
            **options: see `TrainOptions`.

        Returns:
            Scores of the new weights on the split `val`, as from `val`; None with `val=False`, or if the data set has
            no such split.

        Raises:
            ConfigError: an option is unknown, unavailable or out of range.
            DataError: the data set is missing or invalid, or the loss diverges.
            WeightsError: these weights cannot be trained, because they are an ONNX graph.
        """
        request, path = read_train_options(options, device=self._device), find_data(data)
        measures = request.val and has_validation(path)
        self.model_name = str(train_network(self.model_name, path, request, report=report))
        self._engines.clear()
        return self.val(path, imgsz=request.imgsz, device=request.device) if measures else None

    def export(self, format: str = "onnx", **options: Any) -> str:  # noqa: A002
        """Write the network as an ONNX graph; return its path.

        The file is beside the weights, with the suffix .onnx; for published weights it is in the working folder.
        `FastSAM` runs it, too.

        Args:
            format: `onnx`, the only format.
            **options: `half`; `nms` for suppression inside the graph, then also `conf`, `iou` and `max_det`. Batch,
                height and width are always dynamic.

        Raises:
            ConfigError: the format or an option is not available.
            WeightsError: the weights are a graph already.
            EngineError: the file cannot be written without the package onnx.
        """
        return str(export_model(self.model_name, format, options))
