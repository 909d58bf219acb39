"""Graphs written by streamseg in OpenVINO, on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from streamseg.engines.engine import Raw
from streamseg.engines.export import EMBEDDINGS, OUTPUTS
from streamseg.engines.openvino_model import OpenVinoModel, computes_bfloat16, last_line, load_openvino, openvino_core
from streamseg.engines.own_graph import QUANTIZED, is_own, read_properties
from streamseg.errors import EngineError, WeightsError
from streamseg.modeling.nms import NmsSettings
from streamseg.modeling.refiner import Refiner

__all__ = ["OpenVinoEngine"]

MOST_SHAPES: Final = 3
"""Maximum number of shapes that get a model of their own: sources of other sizes, and reduced qualities."""

_logger = logging.getLogger(__name__)


class OpenVinoEngine:
    """A graph written by `export_graph` or `streamseg quantize`, in OpenVINO on the CPU.

    Any batch, height and width run in one compiled model. A shape that occurs twice in a row, such as that of a live
    source, gets a model of its own, which saves 7 % of the time in float32 and 16 % in 8 bits. It compiles for half a
    second, takes 30 MB, and is used only if its results are the same. The first shape, in a run that of the warm-up, is
    compiled at once; up to `MOST_SHAPES` - 1 others, such as that of a camera whose size was not known, only beside the
    frames, which go on in the model for any shape, see `start`.
    """

    name = "openvino"
    device = "cpu"
    input_size: tuple[int, int] | None = None
    max_batch: int | None = None

    def __init__(
        self, source: OpenVinoModel, *, path: str | Path = "graph", half: bool = False, num_threads: int | None = None
    ) -> None:
        """Compile a graph, which takes about half a second of CPU time.

        Args:
            source: the graph.
            path: source of the graph, for error messages.
            half: compute in bfloat16 instead of float32, with the cost in accuracy that `TorchEngine` documents.
            num_threads: number of CPU threads; None for as many as torch uses (the physical cores, or
                OMP_NUM_THREADS).

        Raises:
            WeightsError: streamseg did not write the graph, or its version is another one.
            EngineError: OpenVINO is not installed or cannot compile the graph, or the processor lacks bfloat16.
        """
        if not is_own(source.metadata, path):
            raise WeightsError(
                f"{path} was not written by streamseg, and the openvino engine runs no other graphs; use engine onnx"
            )
        openvino = load_openvino()
        if half and not computes_bfloat16():
            raise EngineError(
                "this processor does not compute bfloat16 in hardware, so that half precision would be slower; use half"
                " false"
            )
        model = source.model
        names = {name for port in model.outputs for name in port.names}
        self._outputs = (*OUTPUTS, EMBEDDINGS) if EMBEDDINGS in names else OUTPUTS
        num_masks = model.output(OUTPUTS[2]).partial_shape[2].get_length()
        properties = read_properties(source.metadata, num_masks=num_masks, path=path)
        if properties.half:
            raise WeightsError(f"{path} computes in float16, which is for GPUs; export it again without --half")
        self.metadata = source.metadata
        """Metadata of the file."""
        self.half = half
        self.imgsz = properties.imgsz
        self.suppression: NmsSettings | None = properties.suppression
        self.refiner: Refiner | None = properties.refiner
        """Mask refiner, run by ONNX Runtime."""
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": num_threads or torch.get_num_threads(),
            # Explicitly: the default is bfloat16 on processors that have it.
            "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
            # A pinned thread waits for its core even if another one is idle, while capture and tracking use it.
            "ENABLE_CPU_PINNING": False,
        }
        self._compile: Callable[[Any], Any] = lambda model: (
            openvino_core().compile_model(model, "CPU", settings).create_infer_request()
        )
        try:
            # Only the outputs that are read: graphs with suppression also compute whole masks.
            wanted = openvino.Model([model.output(name) for name in self._outputs], model.get_parameters())
            self._request = self._compile(wanted)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot compile {path}: {last_line(error)}") from error
        self._flexible: Any = wanted
        """The graph for any shape."""
        self._last_shape: tuple[int, ...] = ()
        self._fixed: dict[tuple[int, ...], Any] = {}
        """Request of the model that was compiled for a shape; None while it is compiled, and if it was rejected."""
        self._is_compiling = False
        self.start: Callable[[Callable[[], None]], object] | None = None
        """Starts work in another thread; set by a live run. None: only the first shape gets a model of its own."""

    @property
    def is_quantized(self) -> bool:
        """Whether the network computes in 8 bits."""
        return QUANTIZED in self.metadata

    def run(self, images: npt.NDArray[np.uint8]) -> Raw:
        """See `Engine.run`."""
        if self._request is None:
            raise RuntimeError("this engine is closed")
        images = np.ascontiguousarray(images)
        shape = images.shape
        raw = self._infer(self._fixed.get(shape) or self._request, images)
        if shape == self._last_shape and shape not in self._fixed and len(self._fixed) < MOST_SHAPES:
            self._begin_fixing(images, raw)
        self._last_shape = shape
        return raw

    def _infer(self, request: Any, images: npt.NDArray[np.uint8]) -> Raw:
        try:
            results = request.infer({"images": images}, share_inputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot run images {images.shape}: {last_line(error)}") from error
        return Raw(*(results[name] for name in self._outputs))

    def _begin_fixing(self, images: npt.NDArray[np.uint8], raw: Raw) -> None:
        """Compile a model for the shape of images, see the class."""
        if not self._fixed:
            self._fix_shape(self._flexible.clone(), images, raw)
        elif self.start is not None and not self._is_compiling:
            self._fixed[images.shape], self._is_compiling = None, True
            self.start(partial(self._fix_shape, self._flexible.clone(), images.copy(), raw))

    def _fix_shape(self, model: Any, images: npt.NDArray[np.uint8], raw: Raw) -> None:
        """Compile a model for the shape of images; it replaces the other one if it returns the same for them.

        Some graphs in 8 bits round differently then, and an image would have other results from some run on.
        """
        self._fixed[images.shape] = None
        try:
            model.reshape({"images": list(images.shape)})
            request = self._compile(model)
            others = self._infer(request, images).arrays()
        except (RuntimeError, EngineError) as error:
            _logger.info("OpenVINO cannot compile for images %s: %s", images.shape, last_line(error))
            return
        finally:
            self._is_compiling = False
        if self._request is not None and all(
            np.array_equal(values, others[name]) for name, values in raw.arrays().items()
        ):
            self._fixed[images.shape] = request

    def close(self) -> None:
        """See `Engine.close`. A model that is being compiled is then not used."""
        self._request = self._flexible = None
        self._fixed = {}
