"""Masks in the run-length encoding of Label Studio's brush.

The mask is an RGBA image with one value for all four channels, 0 or 255, row by row. Its bytes are stored as bits:

    32      number of bytes
    5       bits per value, minus 1: always 7
    4 × 4   bits per run length, minus 1, for each of four classes: 2, 3, 7, 15
    then    1 bit: 1 for a run of one value; 2 bits: class of its length; its length, minus 1; 8 bits: its value

up to the end of the last byte. `label_studio_converter.brush` reads and writes the same.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streamseg.structures.arrays import MaskArray

__all__ = ["encode_brush"]

LENGTH_BITS: Final = (3, 4, 8, 16)
MAX_RUN: Final = 1 << LENGTH_BITS[-1]
NUM_CHANNELS: Final = 4


def encode_brush(mask: MaskArray) -> list[int]:
    """Return a mask, bool (H, W), as bytes 0..255.

    Raises:
        ValueError: the mask has no pixel.
    """
    pixels = mask.ravel()
    if not pixels.size:
        raise ValueError("a mask must have at least one pixel")
    ends = np.append(np.flatnonzero(pixels[1:] != pixels[:-1]) + 1, pixels.size)
    lengths = np.diff(ends, prepend=0) * NUM_CHANNELS
    header = f"{pixels.size * NUM_CHANNELS:032b}{8 - 1:05b}" + "".join(f"{bits - 1:04b}" for bits in LENGTH_BITS)
    value = bool(pixels[0])
    parts = [header]
    for length in lengths.tolist():
        parts += _runs(length, "1" * 8 if value else "0" * 8)
        value = not value
    bits = "".join(parts)
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8))


def _runs(length: int, value: str) -> list[str]:
    """Return the bits of a run, in pieces of at most `MAX_RUN`."""
    runs = [MAX_RUN] * (length // MAX_RUN) + ([length % MAX_RUN] if length % MAX_RUN else [])
    found = []
    for run in runs:
        kind = next(kind for kind, bits in enumerate(LENGTH_BITS) if run <= 1 << bits)
        found.append(f"1{kind:02b}{run - 1:0{LENGTH_BITS[kind]}b}{value}")
    return found
