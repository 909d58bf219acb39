"""Convert weights of any readable format to .safetensors, which cannot contain code."""

from __future__ import annotations

from pathlib import Path

import streamseg
from streamseg.errors import WeightsError
from streamseg.weights.files import Weights, save_weights

__all__ = ["convert_weights"]


def convert_weights(weights: Weights, out: str | Path, *, half: bool = False) -> Path:
    """Write weights as a .safetensors file, with unchanged values.

    The metadata are kept. `source_file` and `source_sha256` identify the file that the weights were read from, or the
    source of that file if it was itself converted.

    Args:
        weights: weights of a network that streamseg can build.
        out: path ending in .safetensors; an existing file is replaced.
        half: store floating-point tensors in half precision, whatever their precision.

    Returns:
        The path of `out`.

    Raises:
        WeightsError: these are not the weights of such a network, `out` is the file they were read from or has another
            suffix, or it cannot be written.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise WeightsError(f"converted weights must be a .safetensors file, got {out}")
    if out.exists() and out.samefile(weights.path):
        raise WeightsError(f"{out} is the file to convert; choose another output")
    weights.network()
    source = {"source_file": weights.path.name, "source_sha256": weights.sha256}
    if "source_sha256" in weights.metadata:
        source = {}
    metadata = {**weights.metadata, **source, "converted_by": f"streamseg {streamseg.__version__}"}
    return save_weights(weights.state_dict, out, metadata=metadata, half=half)
