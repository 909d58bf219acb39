"""Load tensors from the bytes of an archive; all sizes in the pickle are validated first."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from streamseg.weights.checkpoint.archive import Archive, Entry
from streamseg.weights.checkpoint.errors import checkpoint_error, quoted

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
"""Data types by the name of torch's storage class in the checkpoint."""

_MAX_AXES = 8


@dataclass(frozen=True)
class Storage:
    """A sequence of numbers, stored in one entry of the archive."""

    entry: Entry
    dtype: torch.dtype
    num_elements: int


@dataclass(frozen=True)
class StoredTensor:
    """A validated view of a storage: inside its bounds and without overlapping elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Storages:
    """The storages of one archive, by key."""

    def __init__(self, archive: Archive, *, byteorder: str) -> None:
        self._archive = archive
        self._swapped = byteorder != sys.byteorder
        self._entries = {
            name.removeprefix("data/"): entry for name, entry in archive.entries.items() if name.startswith("data/")
        }
        self._referenced: dict[str, Storage] = {}
        self._loaded: dict[Storage, Tensor] = {}
        self._bytes_left = sum(entry.size for entry in self._entries.values())

    def find(self, key: object, dtype: torch.dtype, num_elements: object) -> Storage:
        """Return the storage with this key.

        Raises:
            WeightsError: there is none, its size is not the size of its entry, or an earlier reference has another
                type.
        """
        if not isinstance(key, str) or key not in self._entries:
            raise checkpoint_error(f"the storage {quoted(key)} is not in the archive")
        entry = self._entries[key]
        if type(num_elements) is not int or num_elements < 0 or num_elements * dtype.itemsize != entry.size:
            raise checkpoint_error(
                f"storage {quoted(key)} declares {quoted(num_elements)} elements of {dtype}, but has {entry.size} bytes"
            )
        storage = self._referenced.setdefault(key, Storage(entry, dtype, num_elements))
        if storage.dtype != dtype:
            raise checkpoint_error(f"storage {quoted(key)} is declared both as {storage.dtype} and as {dtype}")
        return storage

    def check_all_referenced(self) -> None:
        """Check that the pickle refers to all storages of the archive.

        Raises:
            WeightsError: it does not refer to one of them.
        """
        for key in self._entries:
            if key not in self._referenced:
                raise checkpoint_error(f"the archive has a storage {quoted(key)} that the checkpoint does not refer to")

    def load(self, tensor: StoredTensor) -> Tensor:
        """Read a tensor, which does not share memory with others.

        Raises:
            WeightsError: the file is damaged.
        """
        storage = tensor.storage
        self._bytes_left -= math.prod(tensor.shape) * storage.dtype.itemsize
        if self._bytes_left < 0:
            raise checkpoint_error("the tensors share storages, and their total size exceeds that of the archive")
        is_first = storage not in self._loaded
        if is_first:
            self._loaded[storage] = self._numbers(storage)
        view = self._loaded[storage].as_strided(tensor.shape, tensor.stride, tensor.offset)
        # The first view of a whole storage needs no copy. A view of a part must not keep the rest in memory.
        return view if is_first and view.numel() == storage.num_elements else view.clone()

    def _numbers(self, storage: Storage) -> Tensor:
        contents = self._archive.read(storage.entry)
        if storage.dtype == torch.bool and contents.strip(b"\0\1"):
            raise checkpoint_error(f"storage {quoted(storage.entry.name)} has boolean values other than 0 and 1")
        if self._swapped:
            _swap(contents, storage.dtype.itemsize)
        # torch.frombuffer rejects an empty buffer.
        return torch.frombuffer(contents, dtype=storage.dtype) if contents else torch.empty(0, dtype=storage.dtype)


def stored_tensor(storage: object, offset: object, shape: object, stride: object) -> StoredTensor:
    """Validate a view of a storage.

    Raises:
        WeightsError: it is not a view, exceeds the storage, or has overlapping elements (as expanded tensors do).
    """
    if not isinstance(storage, Storage):
        raise checkpoint_error(f"a tensor is built on {quoted(storage)}, not on a storage")
    if not _are_sizes(shape) or not _are_sizes(stride) or not _are_sizes((offset,)):
        raise checkpoint_error("a tensor's shape, strides or offset are not valid sizes")
    assert isinstance(shape, tuple)
    assert isinstance(stride, tuple)
    assert isinstance(offset, int)
    if len(shape) != len(stride) or len(shape) > _MAX_AXES:
        raise checkpoint_error(
            f"a tensor has {len(shape)} axes and {len(stride)} strides; at most {_MAX_AXES} are allowed"
        )
    reach = 1
    for step, count in sorted(zip(stride, shape, strict=True)):
        if count > 1:
            if step < reach and 0 not in shape:
                raise checkpoint_error(f"a tensor of shape {shape} with strides {stride} has overlapping elements")
            reach += step * (count - 1)
    if (0 if 0 in shape else reach) + offset > storage.num_elements:
        raise checkpoint_error(
            f"a tensor of shape {shape} with strides {stride} at offset {offset} exceeds its storage of "
            f"{storage.num_elements} elements"
        )
    return StoredTensor(storage, offset, shape, stride)


def _are_sizes(values: object) -> bool:
    return isinstance(values, tuple) and all(type(value) is int and 0 <= value < 2**40 for value in values)


def _swap(contents: bytearray, itemsize: int) -> None:
    """Reverse the bytes of each element."""
    if itemsize > 1:
        whole = bytes(contents)
        for position in range(itemsize):
            contents[position::itemsize] = whole[itemsize - 1 - position :: itemsize]
