"""Read and write weights files.

The native format is safetensors: the network's tensors under their official names, and metadata as strings. PyTorch
checkpoints (.pt) can be read as well; nothing in them is ever executed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from streamseg.errors import WeightsError, reason_of
from streamseg.modeling.network import Network
from streamseg.modeling.refiner import REFINER_PREFIX, Refiner, refiner_from_state_dict
from streamseg.modeling.state_dict import SPPF_ACTIVATION, config_from_state_dict, network_from_state_dict
from streamseg.weights.catalogue import CATALOGUE, OfficialWeights
from streamseg.weights.checkpoint import read_checkpoint
from streamseg.weights.download import Progress
from streamseg.weights.embedded import DEFAULT
from streamseg.weights.resolve import resolve_weights

__all__ = ["Weights", "load_weights", "save_weights", "write_atomically"]


@dataclass(frozen=True, eq=False)
class Weights:
    """The contents of one weights file."""

    state_dict: dict[str, Tensor]
    """Tensors by their official names, in the precision of the file."""
    metadata: dict[str, str]
    """Metadata of the file, such as its author and training data."""
    path: Path
    """Path that the file was read from."""
    sha256: str
    """Hash of the whole file, as hexadecimal digits."""

    def network(self) -> Network:
        """Build the network with these weights, in eval mode, float32.

        Raises:
            WeightsError: a tensor is missing, unexpected or has the wrong shape, or the metadata are invalid.
        """
        activation = self.metadata.get(SPPF_ACTIVATION, "true")
        try:
            if activation not in ("true", "false"):
                raise WeightsError(f"metadata {SPPF_ACTIVATION} must be true or false, got {activation[:80]!r}")
            own = {name: tensor for name, tensor in self.state_dict.items() if not name.startswith(REFINER_PREFIX)}
            return network_from_state_dict(own, sppf_activation=activation == "true")
        except WeightsError as error:
            raise WeightsError(f"{self.path}: {error}") from error

    def refiner(self) -> Refiner | None:
        """Build the refiner trained on top of these weights; None if the file contains no refiner.

        Raises:
            WeightsError: one of its tensors is missing, unexpected or has the wrong shape.
        """
        try:
            num_masks = config_from_state_dict(self.state_dict).num_masks
            return refiner_from_state_dict(self.state_dict, num_masks=num_masks)
        except WeightsError as error:
            raise WeightsError(f"{self.path}: {error}") from error


def load_weights(
    source: str | Path = DEFAULT,
    *,
    progress: Progress | None = None,
    catalogue: Sequence[OfficialWeights] = CATALOGUE,
) -> Weights:
    """Read a weights file.

    Args:
        source: `default`, `nanodet` or `yolov8n` for embedded weights, a name of the catalogue (`FastSAM-s`,
            `FastSAM-x`; downloaded the first time), or the path of a .safetensors or .pt file.
        progress: called with the bytes received and the total during a download.
        catalogue: available names.

    Raises:
        WeightsError: there is no such file or name, or it is not a complete weights file.
    """
    path = resolve_weights(source, progress=progress, catalogue=catalogue)
    if path.suffix == ".pt":
        return _load_checkpoint(path)
    if path.suffix in (".onnx", ".xml"):
        engine = "onnx" if path.suffix == ".onnx" else "openvino"
        raise WeightsError(
            f"{path} is an exported graph, not a file of tensors; use the {engine} engine or .safetensors"
        )
    return _load_safetensors(path)


def _load_safetensors(path: Path) -> Weights:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            state_dict = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a complete .safetensors file: {error}") from error
    return Weights(state_dict, metadata, path, sha256)


def _load_checkpoint(path: Path) -> Weights:
    """Read a PyTorch checkpoint (.pt) without executing its pickle."""
    checkpoint = read_checkpoint(path)
    try:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {reason_of(error)}") from error
    return Weights(checkpoint.state_dict, checkpoint.metadata, path, sha256)


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`. Renamed to `path` at the end of the block, deleted if it raises.

    Raises:
        WeightsError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {reason_of(error)}") from error


def save_weights(
    state_dict: Mapping[str, Tensor],
    path: str | Path,
    *,
    metadata: Mapping[str, str] | None = None,
    half: bool = False,
) -> Path:
    """Write a .safetensors file atomically.

    Args:
        state_dict: the network's tensors.
        path: destination. Folders are created, an existing file is replaced.
        metadata: metadata of the file.
        half: store floating-point tensors in half precision, at half the size.

    Returns:
        The path.

    Raises:
        WeightsError: a value is not finite in the stored precision, or the file cannot be written.
    """
    path = Path(path)
    tensors = {}
    for name, tensor in state_dict.items():
        stored = tensor.detach().cpu().contiguous()
        if stored.is_floating_point():
            stored = stored.half() if half else stored
            if not torch.isfinite(stored).all():
                raise WeightsError(f"tensor {name!r} has values that are not finite in {stored.dtype}; not saved")
        tensors[name] = stored
    with write_atomically(path) as temporary:
        # Not save_file: it creates files that only their owner can read.
        temporary.write_bytes(save(tensors, metadata=dict(metadata or {})))
    return path
