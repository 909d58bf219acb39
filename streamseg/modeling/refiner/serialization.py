"""Store refiners: as tensors in a weights file, as text in the metadata of a graph, and as an ONNX graph."""

from __future__ import annotations

import base64
import binascii
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from streamseg.errors import WeightsError
from streamseg.modeling.refiner.network import Refiner
from streamseg.modeling.refiner.views import REFINER_RASTER, ObjectViews

__all__ = ["REFINER_PREFIX", "refiner_from_state_dict", "refiner_from_text", "refiner_to_graph", "refiner_to_text"]

REFINER_PREFIX = "refiner."
"""Prefix of the refiner's tensor names in a weights file."""

VERSION = 3
"""Version of the architecture; tensors of another version cannot be loaded. Version 1 is not stored in files."""

MAX_BLOCKS = 32
"""Upper limit, far above useful depths; a damaged file may name any number."""

GRAPH_INPUTS = ("logits", "maps", "pixels", "sides")
"""Fields of `ObjectViews`, with projected maps."""
GRAPH_OUTPUTS = ("corrections", "quality")
"""Fields of `RefinerOutput`."""

_OPSET = 17


def refiner_from_state_dict(state_dict: Mapping[str, Tensor], *, num_masks: int) -> Refiner | None:
    """Build the refiner of a weights file, in eval mode, float32; None if the file contains no refiner.

    Args:
        state_dict: all tensors of the file; the names of the refiner's begin with `REFINER_PREFIX`.
        num_masks: number of prototypes of the network that it belongs to.

    Raises:
        WeightsError: the version does not match, or a tensor is missing, unexpected or has the wrong shape.
    """
    own = {
        name.removeprefix(REFINER_PREFIX): tensor
        for name, tensor in state_dict.items()
        if name.startswith(REFINER_PREFIX)
    }
    if not own:
        return None
    stored = own.get("version")
    version = 1.0 if stored is None or stored.numel() != 1 else float(stored)
    if version != VERSION:
        raise WeightsError(
            f"the refiner in these weights has version {version:g}, but version {VERSION} is required; retrain it with"
            " `streamseg refine`"
        )
    enter = own.get("enter.weight")
    width = int(enter.shape[0]) if enter is not None and enter.ndim == 4 else 0
    if not 4 <= width <= 256 or width % 4:
        raise WeightsError("cannot determine the refiner's width: refiner.enter.weight is missing or absurd")
    num_blocks = len({name.split(".")[1] for name in own if name.startswith("blocks.")})
    if num_blocks > MAX_BLOCKS:
        raise WeightsError(f"the refiner in these weights has {num_blocks} blocks; at most {MAX_BLOCKS} are allowed")
    calibration = own.get("calibration")
    if calibration is not None and calibration.shape == (2,):  # before the exponent was stored, it was 1
        own["calibration"] = torch.cat([calibration, calibration.new_ones(1)])
    refiner = Refiner(num_masks, width, num_blocks)
    expected = refiner.state_dict()
    for name in sorted(expected.keys() | own.keys()):
        shapes = [tuple(tensors[name].shape) if name in tensors else "none" for tensors in (expected, own)]
        if shapes[0] != shapes[1]:
            raise WeightsError(
                f"tensor {REFINER_PREFIX + name!r} has shape {shapes[1]}; the refiner requires {shapes[0]}"
            )
    refiner.load_state_dict({name: tensor.float() for name, tensor in own.items()})
    return refiner.eval().requires_grad_(False)


def refiner_to_text(refiner: Refiner) -> str:
    """Serialize the refiner to text for the metadata of an ONNX graph."""
    tensors = {REFINER_PREFIX + name: tensor.cpu().contiguous() for name, tensor in refiner.state_dict().items()}
    return base64.b64encode(save(tensors)).decode()


def refiner_from_text(text: str, *, num_masks: int) -> Refiner | None:
    """Parse the result of `refiner_to_text`.

    Raises:
        WeightsError: the text is not a refiner, or its version or number of prototypes does not match.
    """
    try:
        tensors = load(base64.b64decode(text, validate=True))
    except (binascii.Error, SafetensorError) as error:
        raise WeightsError(f"the refiner in the metadata is invalid ({error}); export the graph again") from error
    return refiner_from_state_dict(tensors, num_masks=num_masks)


class _Graph(nn.Module):
    """`Refiner.forward` on bare tensors."""

    def __init__(self, refiner: Refiner) -> None:
        super().__init__()
        self.refiner = refiner

    def forward(self, logits: Tensor, maps: Tensor, pixels: Tensor, sides: Tensor) -> tuple[Tensor, Tensor]:
        refined = self.refiner(ObjectViews(logits, maps, pixels, sides))
        return refined.corrections, refined.quality


def refiner_to_graph(refiner: Refiner) -> bytes:
    """Export `Refiner.forward` as an ONNX graph for any number of objects; requires the onnx package.

    Inputs are `GRAPH_INPUTS`, outputs `GRAPH_OUTPUTS`. Sampling is not part of the graph, because ONNX Runtime takes
    nine times as long for it as torch.
    """
    maps = refiner.project.out_channels
    example = (
        torch.zeros(2, REFINER_RASTER, REFINER_RASTER),
        torch.zeros(2, maps, REFINER_RASTER, REFINER_RASTER),
        torch.zeros(2, REFINER_RASTER, REFINER_RASTER, 3, dtype=torch.uint8),
        torch.ones(2),
    )
    with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.inference_mode():
        path = Path(folder) / "refiner.onnx"
        # See `streamseg.engines.export`: the tracing exporter requires only onnx.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _Graph(refiner).eval(),
            example,
            path,
            dynamo=False,
            input_names=list(GRAPH_INPUTS),
            output_names=list(GRAPH_OUTPUTS),
            dynamic_axes={name: {0: "objects"} for name in (*GRAPH_INPUTS, *GRAPH_OUTPUTS)},
            opset_version=_OPSET,
        )
        return path.read_bytes()
