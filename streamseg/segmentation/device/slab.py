"""Several tensors in one buffer, so that a single copy moves all of them between host and device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

__all__ = ["Slab"]


@dataclass(frozen=True)
class _Part:
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Slab:
    """The layout of a buffer."""

    parts: tuple[_Part, ...]
    num_bytes: int
    """Size of the buffer."""

    @classmethod
    def of(cls, parts: Sequence[tuple[str, torch.dtype, tuple[int, ...]]]) -> Self:
        """Lay out parts, each with its name, type and shape; a part may be empty.

        Types of more bytes come first: then each part begins where views of its type may, without gaps.
        """
        placed, end = [], 0
        for name, dtype, shape in sorted(parts, key=lambda part: -part[1].itemsize):
            placed.append(_Part(name, dtype, shape, end))
            end += placed[-1].num_bytes
        return cls(tuple(placed), end)

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Lay out tensors of these types and shapes."""
        return cls.of([(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()])

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """Return the parts of a buffer uint8 (num_bytes,) as views, by name."""
        return {
            part.name: buffer[part.begin : part.begin + part.num_bytes].view(part.dtype).view(part.shape)
            for part in self.parts
        }

    def pack(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Copy tensors into a new buffer uint8 (num_bytes,) on their device."""
        return torch.cat([tensors[part.name].contiguous().view(-1).view(torch.uint8) for part in self.parts])
