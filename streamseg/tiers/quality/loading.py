"""A folder as a promptable model: a pair of ONNX graphs, or a model of transformers."""

from __future__ import annotations

from pathlib import Path

from streamseg.errors import EngineError, WeightsError
from streamseg.tiers.model_folder import device_of, first_line, model_type, normalisation
from streamseg.tiers.quality.model import PromptableModel
from streamseg.tiers.quality.onnx_model import OnnxPair
from streamseg.tiers.quality.transformers_model import load_transformers_model

__all__ = ["find_pair", "load_promptable"]


def load_promptable(folder: Path, *, device: str = "auto") -> PromptableModel:
    """Load a promptable model; nothing is downloaded and nothing is unpickled.

    Args:
        folder: a folder with two ONNX graphs, whose names contain `encoder` and `decoder`, or with `config.json` and
            `*.safetensors`. The graphs take precedence.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.

    Raises:
        ConfigError: transformers is needed and not installed.
        WeightsError: there is no promptable model, or it is damaged.
        EngineError: there is no such device, or the model cannot be run on it.
    """
    if not folder.is_dir():
        raise WeightsError(f"{folder} is not a folder; give one with encoder.onnx and decoder.onnx, or of transformers")
    target = device_of(device)
    pair = find_pair(folder)
    if pair is not None:
        mean, std = normalisation(folder)
        return OnnxPair(*pair, device=str(target), mean=mean, std=std)
    if model_type(folder) is None:
        raise WeightsError(
            f"{folder} has no promptable model; it needs two ONNX graphs whose names contain encoder and decoder, or"
            " config.json and model.safetensors of transformers"
        )
    try:
        return load_transformers_model(folder, device=target)
    except (MemoryError, RuntimeError) as error:
        raise EngineError(f"{folder} cannot be loaded onto {target}: {first_line(error)}") from error


def find_pair(folder: Path) -> tuple[Path, Path] | None:
    """Return the encoder and the decoder of a folder; None without any graphs.

    Raises:
        WeightsError: there are graphs, but not one of each.
    """
    graphs = sorted(folder.glob("*.onnx"))
    if not graphs:
        return None
    encoders = [path for path in graphs if "encoder" in path.stem.lower() and "decoder" not in path.stem.lower()]
    decoders = [path for path in graphs if "decoder" in path.stem.lower()]
    if len(encoders) != 1 or len(decoders) != 1:
        raise WeightsError(
            f"{folder} must have one ONNX graph whose name contains encoder and one whose name contains decoder, got"
            f" {', '.join(path.name for path in graphs)}"
        )
    return encoders[0], decoders[0]
