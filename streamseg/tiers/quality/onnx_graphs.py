"""Opening of the graphs of a pair, and what must hold between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from streamseg.engines.onnx_session import open_session
from streamseg.errors import WeightsError, reason_of
from streamseg.tiers.quality.onnx_variants import Variant

__all__ = ["TYPES", "check_points", "embedding_outputs", "input_of", "open_graph"]

EXTERNAL_DATA: Final = "xternal data"
"""Part of ONNX Runtime's messages about weights outside the file of a graph."""
TYPES: Final = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
"""Types of numpy by type of ONNX Runtime."""


def open_graph(path: Path, device: str) -> onnxruntime.InferenceSession:
    """Open a graph, with its weights inside or in a file beside it.

    Raises:
        WeightsError: the file is missing, is no graph, or its weights are missing.
        EngineError: ONNX Runtime cannot use the device.
    """
    try:
        graph = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {reason_of(error)}") from error
    try:
        return open_session(graph, path=path, device=device)
    except WeightsError as error:
        if EXTERNAL_DATA not in str(error):
            raise
    # Weights in a file beside the graph are found by its path only.
    try:
        return open_session(str(path), path=path, device=device)
    except WeightsError as error:
        raise WeightsError(
            f"{path} has its weights in another file, which is missing or damaged; put that file beside it, under the"
            f" name that it had when it was exported, or export them into one file ({error})"
        ) from error


def check_points(coords: Any, variant: Variant, path: Path) -> None:
    """Refuse a decoder that takes a fixed number of points, as a box is two of them and a point one."""
    num_points = coords.shape[2 if variant.is_nested else 1]
    if isinstance(num_points, int):
        raise WeightsError(
            f"{path} takes {num_points} point{'s' if num_points != 1 else ''} per object only ({coords.name}"
            f" {coords.shape}); export it with a dynamic number of points"
        )


def embedding_outputs(
    encoder: onnxruntime.InferenceSession, variant: Variant, inputs: dict[str, Any], path: Path, decoder: Path
) -> dict[str, str]:
    """Return the output of the encoder for each embedding of the decoder: by name, or the only one."""
    outputs = {port.name: port for port in encoder.get_outputs()}
    if len(variant.embeddings) == 1 and len(outputs) == 1:
        found = {variant.embeddings[0]: next(iter(outputs))}
    elif set(variant.embeddings) <= set(outputs):
        found = {name: name for name in variant.embeddings}
    else:
        raise WeightsError(
            f"{path} is not the encoder of {decoder}: it has the outputs {', '.join(outputs)}; the decoder"
            f" ({variant.name}) needs {', '.join(variant.embeddings)}"
        )
    for name, output in found.items():
        given, wanted = outputs[output].shape, inputs[name].shape
        differs = len(given) != len(wanted) or any(
            isinstance(one, int) and isinstance(other, int) and one != other
            for one, other in zip(given, wanted, strict=False)
        )
        if given and wanted and differs:
            raise WeightsError(
                f"{path} is not the encoder of {decoder}: its output {output} has shape {given}, and the decoder needs"
                f" {name} of shape {wanted}; give two graphs of the same model"
            )
    return found


def input_of(encoder: onnxruntime.InferenceSession, path: Path) -> tuple[bool, tuple[int, int] | None]:
    """Return whether the input of the encoder is (H, W, 3), and its (H, W), None if dynamic."""
    ports = encoder.get_inputs()
    shape = ports[0].shape
    if len(ports) == 1 and ports[0].type in TYPES:
        fixed = _fixed(shape[-3:-1] if shape[-1] == 3 else shape[-2:])
        if len(shape) == 4 and shape[1] == 3 and (fixed is None or fixed[0] == fixed[1]):
            return False, fixed
        if len(shape) == 3 and shape[2] == 3:
            return True, fixed
    given = ", ".join(f"{port.name} {port.shape}" for port in ports)
    raise WeightsError(
        f"{path} is not a supported image encoder: it has the inputs {given}; expected one input of shape (1, 3, S, S),"
        " normalised RGB, or (H, W, 3), RGB 0..255"
    )


def _fixed(shape: list[Any]) -> tuple[int, int] | None:
    height, width = shape
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
