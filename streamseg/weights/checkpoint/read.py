"""Read a checkpoint file without executing any of it."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from streamseg.errors import WeightsError, reason_of
from streamseg.modeling.state_dict import SPPF_ACTIVATION, check_state_dict
from streamseg.modeling.yolov8 import YoloV8Config
from streamseg.weights.checkpoint.archive import Archive
from streamseg.weights.checkpoint.errors import UNSUPPORTED, checkpoint_error, quoted
from streamseg.weights.checkpoint.modules import check_constants, module_tree
from streamseg.weights.checkpoint.storages import Storages, StoredTensor
from streamseg.weights.checkpoint.stubs import Stub
from streamseg.weights.checkpoint.unpickler import MAX_BYTES, unpickle

__all__ = ["Checkpoint", "read_checkpoint"]

_MAX_TEXT_LENGTH = 200
_MAX_CLASS_NAMES = 10_000

_BINS = "model.22.dfl.conv.weight"

_ENTRY = re.compile(r"data\.pkl|data/\d{1,9}|byteorder|version|\.format_version|\.storage_alignment|\.data/\w{1,40}")
"""Names of the entries in torch's archives."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The contents of a checkpoint that are relevant to a network."""

    state_dict: dict[str, Tensor]
    """The network's tensors by their official names, such as `model.0.conv.weight`, in the file's precision."""
    metadata: dict[str, str]
    """`source_format` (`ultralytics checkpoint` or `state dict`). If the file contains them, `ultralytics_version`,
    `date`, `license`, `imgsz` (pixels) and `names` (JSON, class names by number). For a checkpoint also
    `sppf_activation` (`true` or `false`), which no tensor determines: whether SPPF's first convolution ends in
    SiLU."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint (.pt) of FastSAM or YOLOv8-seg, or a state dict saved by torch.

    Nothing in the file is executed or imported, whatever its contents: see `unpickler` and `stubs`. From a checkpoint
    of an unfinished training, the averaged network (`ema`) is read.

    Args:
        path: a zip archive as written by `torch.save` since torch 1.6.

    Raises:
        WeightsError: the file is missing or damaged, contains another network, or refers to anything that a network
            does not need.
    """
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}: there is no such file")
    try:
        with Archive(path) as archive:
            return _read(archive)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {reason_of(error)}") from error


def _read(archive: Archive) -> Checkpoint:
    for name in archive.entries:
        if name.startswith("code/") or name == "constants.pkl":
            raise checkpoint_error("the archive is a TorchScript program, which is not supported", UNSUPPORTED)
        if not _ENTRY.fullmatch(name):
            raise checkpoint_error(f"the archive has an entry {quoted(name)}, which torch does not write")
    if "data.pkl" not in archive.entries:
        raise checkpoint_error("the archive has no data.pkl, which torch writes", "choose a file written by torch.save")
    program = archive.entries["data.pkl"]
    if program.size > MAX_BYTES:
        raise checkpoint_error(f"the checkpoint's pickle has {program.size} bytes; at most {MAX_BYTES} are allowed")
    storages = Storages(archive, byteorder=_byteorder(archive))
    contents = unpickle(archive.read(program), storages)
    storages.check_all_referenced()
    outermost = contents if isinstance(contents, dict) else {}
    chosen = _network_in(contents)
    if isinstance(chosen, Stub):
        tree = module_tree(chosen)
        state_dict = _load(tree.tensors, storages)
        has_activation = check_constants(tree, _checked(state_dict))
        metadata = {
            "source_format": "ultralytics checkpoint",
            SPPF_ACTIVATION: str(has_activation).lower(),
            **_metadata(outermost, chosen),
        }
        return Checkpoint(state_dict, metadata)
    state_dict = _load(_flat(chosen), storages)
    _checked(state_dict)
    return Checkpoint(state_dict, {"source_format": "state dict"})


def _checked(state_dict: dict[str, Tensor]) -> YoloV8Config:
    config = check_state_dict(state_dict)
    if not isinstance(config, YoloV8Config):
        raise checkpoint_error(
            "the checkpoint contains a NanoDet-seg network", "such networks are stored as .safetensors; use that file"
        )
    # A tensor in the file, but a constant of the network; decoding uses its own.
    if state_dict[_BINS].flatten().tolist() != list(range(config.reg_max)):
        raise checkpoint_error(
            f"tensor {_BINS!r} is not 0..{config.reg_max - 1}, as in every network of this kind", UNSUPPORTED
        )
    return config


def _byteorder(archive: Archive) -> str:
    entry = archive.entries.get("byteorder")
    if entry is None:
        # Files from before torch 2.1 do not contain it; nearly all machines were little-endian.
        return "little"
    order = bytes(archive.read(entry)) if entry.size <= len("little") else b""
    if order not in (b"little", b"big"):
        raise checkpoint_error(f"the archive has no valid byte order; this machine has {quoted(sys.byteorder)}")
    return order.decode()


def _network_in(contents: object) -> Stub | dict[str, object]:
    """Return the module tree or state dict that the checkpoint contains."""
    if isinstance(contents, dict) and not any(isinstance(value, StoredTensor) for value in contents.values()):
        found = next((contents[key] for key in ("ema", "model", "state_dict") if contents.get(key) is not None), None)
    else:
        found = contents
    if isinstance(found, Stub | dict):
        return found
    raise checkpoint_error("the checkpoint contains neither a network nor a state dict", UNSUPPORTED)


def _flat(entries: dict[str, object]) -> dict[str, StoredTensor]:
    tensors: dict[str, StoredTensor] = {}
    for name, tensor in entries.items():
        if not isinstance(name, str) or not isinstance(tensor, StoredTensor):
            raise checkpoint_error(f"the state dict's entry {quoted(name)} is not a tensor", UNSUPPORTED)
        tensors[name] = tensor
    # In an Ultralytics state dict, the wrapper of the network adds a prefix.
    wrapped = "model."
    if tensors and all(name.startswith(wrapped * 2) for name in tensors):
        tensors = {name.removeprefix(wrapped): tensor for name, tensor in tensors.items()}
    return tensors


def _load(tensors: dict[str, StoredTensor], storages: Storages) -> dict[str, Tensor]:
    state_dict = {}
    for name, stored in tensors.items():
        tensor = storages.load(stored)
        if not bool(torch.isfinite(tensor).all()):
            raise checkpoint_error(
                f"tensor {quoted(name)} has values that are not finite", "choose a checkpoint of a stable training"
            )
        state_dict[name] = tensor
    return state_dict


def _metadata(outermost: dict[str, object], model: Stub) -> dict[str, str]:
    """Return the metadata of the checkpoint; omit unexpected values."""
    metadata = {}
    for key, name in (("version", "ultralytics_version"), ("date", "date"), ("license", "license")):
        text = outermost.get(key)
        if isinstance(text, str) and text.isprintable() and 0 < len(text) <= _MAX_TEXT_LENGTH:
            metadata[name] = text
    for arguments in (outermost.get("train_args"), model.attributes.get("args")):
        values = arguments.attributes if isinstance(arguments, Stub) else arguments
        imgsz = values.get("imgsz") if isinstance(values, dict) else None
        if type(imgsz) is int and 32 <= imgsz <= 4096:
            metadata["imgsz"] = str(imgsz)
            break
    names = model.attributes.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if isinstance(names, dict) and 0 < len(names) <= _MAX_CLASS_NAMES:
        texts = {str(key): text for key, text in names.items() if type(key) is int and isinstance(text, str)}
        if len(texts) == len(names) and all(len(text) <= _MAX_TEXT_LENGTH for text in texts.values()):
            metadata["names"] = json.dumps(texts)
    return metadata
