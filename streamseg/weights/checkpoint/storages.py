"""From the bytes of an archive to tensors, with every number checked before it is believed."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from streamseg.weights.checkpoint.archive import Archive, Entry
from streamseg.weights.checkpoint.refusal import quoted, refuse

__all__ = ["DTYPES", "Storage", "Storages", "StoredTensor", "stored_tensor"]

DTYPES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
"""By the class in torch that a checkpoint names."""

_MOST_AXES = 8


@dataclass(frozen=True)
class Storage:
    """A run of numbers, which lie in one entry of the archive."""

    entry: Entry
    dtype: torch.dtype
    num_elements: int


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage that has been checked to lie inside it, each element in a place of its own."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Storages:
    """The numbers of one archive, found by key."""

    def __init__(self, archive: Archive, *, byteorder: str) -> None:
        self._archive = archive
        self._swapped = byteorder != sys.byteorder
        self._entries = {
            name.removeprefix("data/"): entry for name, entry in archive.entries.items() if name.startswith("data/")
        }
        self._known: dict[str, Storage] = {}
        self._loaded: dict[Storage, Tensor] = {}
        self._bytes_left = sum(entry.size for entry in self._entries.values())

    def find(self, key: object, dtype: torch.dtype, num_elements: object) -> Storage:
        """The storage of a key, whose size in bytes has to be the one of its entry.

        Raises:
            WeightsError: there is none, or it has another size, or it was another one before.
        """
        if not isinstance(key, str) or key not in self._entries:
            raise refuse(f"the storage {quoted(key)} is not in the archive")
        entry = self._entries[key]
        if type(num_elements) is not int or num_elements < 0 or num_elements * dtype.itemsize != entry.size:
            raise refuse(
                f"storage {quoted(key)} is said to have {quoted(num_elements)} elements of {dtype}, "
                f"and has {entry.size} bytes"
            )
        storage = self._known.setdefault(key, Storage(entry, dtype, num_elements))
        if storage.dtype != dtype:
            raise refuse(f"storage {quoted(key)} is said to be of {storage.dtype} and of {dtype}")
        return storage

    def check_all_known(self) -> None:
        """Every storage of the archive belongs to something.

        Raises:
            WeightsError: one does not.
        """
        for key in self._entries:
            if key not in self._known:
                raise refuse(f"the archive has a storage {quoted(key)} that nothing in the checkpoint mentions")

    def load(self, tensor: StoredTensor) -> Tensor:
        """Read a tensor; it has memory of its own, and shares none with others.

        Raises:
            WeightsError: the file is damaged there.
        """
        storage = tensor.storage
        self._bytes_left -= math.prod(tensor.shape) * storage.dtype.itemsize
        if self._bytes_left < 0:
            raise refuse("the tensors share storages, and add up to more than the archive holds")
        is_first = storage not in self._loaded
        if is_first:
            self._loaded[storage] = self._numbers(storage)
        view = self._loaded[storage].as_strided(tensor.shape, tensor.stride, tensor.offset)
        # The first view of a whole storage has it for itself; a part must not keep the rest alive.
        return view if is_first and view.numel() == storage.num_elements else view.clone()

    def _numbers(self, storage: Storage) -> Tensor:
        contents = self._archive.read(storage.entry)
        if storage.dtype == torch.bool and contents.strip(b"\0\1"):
            raise refuse(f"storage {quoted(storage.entry.name)} has truth values other than 0 and 1")
        if self._swapped:
            _swap(contents, storage.dtype.itemsize)
        # An empty buffer is refused there.
        return torch.frombuffer(contents, dtype=storage.dtype) if contents else torch.empty(0, dtype=storage.dtype)


def stored_tensor(storage: object, offset: object, shape: object, stride: object) -> StoredTensor:
    """Check a view of a storage.

    Raises:
        WeightsError: it is no view, reaches outside, or has elements that share a place (as expanded ones do).
    """
    if not isinstance(storage, Storage):
        raise refuse(f"a tensor is built on {quoted(storage)}, not on a storage")
    if not _are_counts(shape) or not _are_counts(stride) or not _are_counts((offset,)):
        raise refuse("a tensor's shape, strides or offset are no counts")
    assert isinstance(shape, tuple)
    assert isinstance(stride, tuple)
    assert isinstance(offset, int)
    if len(shape) != len(stride) or len(shape) > _MOST_AXES:
        raise refuse(f"a tensor has {len(shape)} axes and {len(stride)} strides; at most {_MOST_AXES} are read")
    reach = 1
    for step, count in sorted(zip(stride, shape, strict=True)):
        if count > 1:
            if step < reach and 0 not in shape:
                raise refuse(f"a tensor of shape {shape} with strides {stride} has elements that share a place")
            reach += step * (count - 1)
    if (0 if 0 in shape else reach) + offset > storage.num_elements:
        raise refuse(
            f"a tensor of shape {shape} with strides {stride} from element {offset} on reaches outside its storage "
            f"of {storage.num_elements} elements"
        )
    return StoredTensor(storage, offset, shape, stride)


def _are_counts(values: object) -> bool:
    return isinstance(values, tuple) and all(type(value) is int and 0 <= value < 2**40 for value in values)


def _swap(contents: bytearray, itemsize: int) -> None:
    """Turn the bytes of each element round."""
    if itemsize > 1:
        whole = bytes(contents)
        for position in range(itemsize):
            contents[position::itemsize] = whole[itemsize - 1 - position :: itemsize]
