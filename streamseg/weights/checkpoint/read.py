"""A checkpoint file, read without running any of it."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from streamseg.errors import WeightsError
from streamseg.modeling.network import NetworkConfig
from streamseg.modeling.state_dict import SPPF_ACTIVATION, check_state_dict
from streamseg.weights.checkpoint.archive import Archive
from streamseg.weights.checkpoint.modules import check_agrees, tree_of
from streamseg.weights.checkpoint.refusal import OTHER, quoted, refuse
from streamseg.weights.checkpoint.storages import Storages, StoredTensor
from streamseg.weights.checkpoint.stubs import Inert
from streamseg.weights.checkpoint.unpickler import MOST_BYTES, unpickle

__all__ = ["Checkpoint", "read_checkpoint"]

_LONGEST_TEXT = 200
_MOST_NAMES = 10_000

_BINS = "model.22.dfl.conv.weight"

_ENTRY = re.compile(r"data\.pkl|data/\d{1,9}|byteorder|version|\.format_version|\.storage_alignment|\.data/\w{1,40}")
"""What torch has in its archives."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint says, as far as it matters to a network."""

    state_dict: dict[str, Tensor]
    """The network's tensors by their official names, such as `model.0.conv.weight`, in the file's precision."""
    metadata: dict[str, str]
    """`source_format` (`ultralytics checkpoint` or `state dict`); where the file has them `ultralytics_version`,
    `date`, `license`, `imgsz` (pixels) and `names` (JSON, class names by number); and of a checkpoint
    `sppf_activation` (`true` or `false`), which no tensor tells: whether the pooling's first convolution ends in
    SiLU."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint (.pt) of FastSAM or YOLOv8-seg, or a state dict of one saved by torch.

    Nothing in the file is executed or imported, whatever it says: see `unpickler` and `stubs`. Of a checkpoint
    from the middle of a training, the averaged network (`ema`) is the one that is read.

    Args:
        path: a zip archive as `torch.save` writes it since torch 1.6.

    Raises:
        WeightsError: it is no such file, it is damaged, it holds another network, or it asks for anything
            that a network does not need.
    """
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}: there is no such file")
    try:
        with Archive(path) as archive:
            return _read(archive)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error


def _read(archive: Archive) -> Checkpoint:
    for name in archive.entries:
        if name.startswith("code/") or name == "constants.pkl":
            raise refuse("the archive is a TorchScript program, which is not run", OTHER)
        if not _ENTRY.fullmatch(name):
            raise refuse(f"the archive has an entry {quoted(name)}, which torch does not write")
    if "data.pkl" not in archive.entries:
        raise refuse("the archive has no data.pkl, which torch writes", "give a file that torch.save has written")
    program = archive.entries["data.pkl"]
    if program.size > MOST_BYTES:
        raise refuse(f"the checkpoint's pickle has {program.size} bytes; at most {MOST_BYTES} are read")
    storages = Storages(archive, byteorder=_byteorder(archive))
    contents = unpickle(archive.read(program), storages)
    storages.check_all_known()
    outermost = contents if isinstance(contents, dict) else {}
    chosen = _network_in(contents)
    if isinstance(chosen, Inert):
        tree = tree_of(chosen)
        state_dict = _load(tree.tensors, storages)
        has_activation = check_agrees(tree, _checked(state_dict))
        metadata = {
            "source_format": "ultralytics checkpoint",
            SPPF_ACTIVATION: str(has_activation).lower(),
            **_facts(outermost, chosen),
        }
        return Checkpoint(state_dict, metadata)
    state_dict = _load(_flat(chosen), storages)
    _checked(state_dict)
    return Checkpoint(state_dict, {"source_format": "state dict"})


def _checked(state_dict: dict[str, Tensor]) -> NetworkConfig:
    config = check_state_dict(state_dict)
    # They are tensors of the file, but constants of the network, and decoding has its own.
    if state_dict[_BINS].flatten().tolist() != list(range(config.reg_max)):
        raise refuse(f"tensor {_BINS!r} is not 0..{config.reg_max - 1}, as in every network of this kind", OTHER)
    return config


def _byteorder(archive: Archive) -> str:
    entry = archive.entries.get("byteorder")
    if entry is None:
        # Files from before torch 2.1 do not say; there were hardly any but little-endian machines.
        return "little"
    order = bytes(archive.read(entry)) if entry.size <= len("little") else b""
    if order not in (b"little", b"big"):
        raise refuse(f"the archive gives no byte order; this machine has {quoted(sys.byteorder)}")
    return order.decode()


def _network_in(contents: object) -> Inert | dict[str, object]:
    """The module tree, or the dict of tensors, that the rest of the checkpoint is about."""
    if isinstance(contents, dict) and not any(isinstance(value, StoredTensor) for value in contents.values()):
        found = next((contents[key] for key in ("ema", "model", "state_dict") if contents.get(key) is not None), None)
    else:
        found = contents
    if isinstance(found, Inert | dict):
        return found
    raise refuse("the checkpoint has neither a network nor a state dict", OTHER)


def _flat(entries: dict[str, object]) -> dict[str, StoredTensor]:
    tensors: dict[str, StoredTensor] = {}
    for name, tensor in entries.items():
        if not isinstance(name, str) or not isinstance(tensor, StoredTensor):
            raise refuse(f"the state dict's entry {quoted(name)} is no tensor", OTHER)
        tensors[name] = tensor
    # The wrapper around a network is a module, too.
    wrapped = "model."
    if tensors and all(name.startswith(wrapped * 2) for name in tensors):
        tensors = {name.removeprefix(wrapped): tensor for name, tensor in tensors.items()}
    return tensors


def _load(tensors: dict[str, StoredTensor], storages: Storages) -> dict[str, Tensor]:
    state_dict = {}
    for name, stored in tensors.items():
        tensor = storages.load(stored)
        if not bool(torch.isfinite(tensor).all()):
            raise refuse(
                f"tensor {quoted(name)} has values that are not finite", "give a checkpoint of a sound training"
            )
        state_dict[name] = tensor
    return state_dict


def _facts(outermost: dict[str, object], model: Inert) -> dict[str, str]:
    """What the checkpoint says about itself; what is not as usual is left out."""
    facts = {}
    for key, name in (("version", "ultralytics_version"), ("date", "date"), ("license", "license")):
        text = outermost.get(key)
        if isinstance(text, str) and text.isprintable() and 0 < len(text) <= _LONGEST_TEXT:
            facts[name] = text
    for arguments in (outermost.get("train_args"), model.attributes.get("args")):
        known = arguments.attributes if isinstance(arguments, Inert) else arguments
        imgsz = known.get("imgsz") if isinstance(known, dict) else None
        if type(imgsz) is int and 32 <= imgsz <= 4096:
            facts["imgsz"] = str(imgsz)
            break
    names = model.attributes.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if isinstance(names, dict) and 0 < len(names) <= _MOST_NAMES:
        texts = {str(key): text for key, text in names.items() if type(key) is int and isinstance(text, str)}
        if len(texts) == len(names) and all(len(text) <= _LONGEST_TEXT for text in texts.values()):
            facts["names"] = json.dumps(texts)
    return facts
