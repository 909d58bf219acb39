"""Weights of any readable file as .safetensors, which nothing can hide code in."""

from __future__ import annotations

from pathlib import Path

import streamseg
from streamseg.errors import WeightsError
from streamseg.weights.files import Weights, save_weights

__all__ = ["convert_weights"]


def convert_weights(weights: Weights, out: str | Path, *, half: bool = False) -> Path:
    """Write weights as a .safetensors file, every value as it is.

    What the weights say about themselves is kept; `source_file` and `source_sha256` name the file that they were
    read from, or that one's own source where it was converted before.

    Args:
        weights: of a network that streamseg can build.
        out: ends in .safetensors; an older file is replaced.
        half: floating-point tensors in half precision, whatever they are.

    Returns:
        The path.

    Raises:
        WeightsError: these are no weights of such a network, `out` is the file they were read from or has another
            suffix, or it cannot be written.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise WeightsError(f"weights are converted to a .safetensors file, got {out}")
    if out.exists() and out.samefile(weights.path):
        raise WeightsError(f"{out} is the file that is converted; name another one")
    weights.network()
    source = {"source_file": weights.path.name, "source_sha256": weights.sha256}
    if "source_sha256" in weights.metadata:
        source = {}
    metadata = {**weights.metadata, **source, "converted_by": f"streamseg {streamseg.__version__}"}
    return save_weights(weights.state_dict, out, metadata=metadata, half=half)
