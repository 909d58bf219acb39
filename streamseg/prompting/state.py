"""What a run remembers of its prompts' objects for the next run: plain numbers, as JSON holds them."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from streamseg.errors import DataError
from streamseg.prompting.appearance import MAX_VIEWS, NUM_TILES, Floats, Looks
from streamseg.structures.prompt import BoxPrompt, PointPrompt, SpatialPrompt

__all__ = ["Remembered", "fingerprint", "parse_memory", "to_json"]

MAX_ENTRIES: Final = 4096
"""Prompts of one source; far more than are ever asked at a time."""
MAX_EMBEDDING: Final = 4096
"""Numbers of one embedding."""


@dataclass(frozen=True, eq=False)
class Remembered:
    """One prompt's object."""

    prompt: int
    """`fingerprint` of the prompt: another one of the same id means something else."""
    step: int
    looks: Looks

    def is_of(self, prompt: SpatialPrompt) -> bool:
        """Whether it is this prompt's, and not that of another one of its id."""
        return self.prompt == fingerprint(prompt) and self.step == prompt.step


def fingerprint(prompt: SpatialPrompt) -> int:
    """A number that tells prompts apart by the place that they mean; the same in every run."""
    if isinstance(prompt, PointPrompt):
        place = repr(("points", prompt.point_coords, prompt.point_labels)).encode()
    elif isinstance(prompt, BoxPrompt):
        place = repr(("box", prompt.box)).encode()
    else:
        mask = prompt.mask
        place = repr(("mask", mask.x, mask.y, mask.crop.shape)).encode() + np.packbits(mask.crop).tobytes()
    return zlib.crc32(place)


def to_json(remembered: Mapping[str, Remembered]) -> dict[str, object]:
    """As `parse_memory` reads it."""
    return {prompt_id: _entry(one) for prompt_id, one in remembered.items()}


def parse_memory(entries: Mapping[str, object]) -> dict[str, Remembered]:
    """What `to_json` wrote, by prompt id.

    Raises:
        DataError: an entry is none; the first one is named.
    """
    if not isinstance(entries, Mapping) or len(entries) > MAX_ENTRIES:
        raise DataError(f"the memory of prompts must be a mapping of at most {MAX_ENTRIES} prompt ids")
    found = {}
    for prompt_id, entry in entries.items():
        try:
            found[str(prompt_id)] = _parse(entry)
        except ValueError as error:
            raise DataError(
                f"the memory of prompt {str(prompt_id)[:40]!r} is damaged ({error}); leave it away, and the prompt is"
                " asked at its place again"
            ) from error
    return found


def _entry(one: Remembered) -> dict[str, object]:
    looks = one.looks
    return {
        "prompt": one.prompt,
        "step": one.step,
        "box": [round(side, 2) for side in looks.box],
        "velocity": [round(side, 2) for side in looks.velocity],
        "silhouettes": [np.packbits(view).tolist() for view in looks.silhouettes],
        "areas": [round(float(area), 1) for area in looks.areas],
        "embeddings": None if looks.embeddings is None else np.round(looks.embeddings.astype(float), 4).tolist(),
    }


def _parse(entry: object) -> Remembered:
    if not isinstance(entry, Mapping):
        raise ValueError(f"it is {type(entry).__name__}, not a mapping")
    silhouettes = _numbers(entry, "silhouettes", (MAX_VIEWS, NUM_TILES // 8), 0, 255, exact=[1])
    num_views = len(silhouettes)
    embeddings = None
    if entry.get("embeddings") is not None:
        given = _numbers(entry, "embeddings", (num_views, MAX_EMBEDDING), -1.01, 1.01, exact=[0])
        embeddings = given.astype(np.float32)
    areas = _numbers(entry, "areas", (num_views,), 0, 1e12, exact=[0])
    x0, y0, x1, y1 = _numbers(entry, "box", (4,), -1e6, 1e6, exact=[0]).tolist()
    velocity = _numbers(entry, "velocity", (2,), -1e9, 1e9, exact=[0]).tolist()
    if x1 < x0 or y1 < y0:
        raise ValueError("its box is turned inside out")
    views = np.unpackbits(silhouettes.astype(np.uint8), axis=1).astype(np.bool_)
    looks = Looks((x0, y0, x1, y1), (velocity[0], velocity[1]), 0.0, views, areas, embeddings)
    return Remembered(_integer(entry, "prompt"), _integer(entry, "step"), looks)


def _integer(entry: Mapping[str, object], key: str) -> int:
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key} is no whole number")
    return value


def _numbers(
    entry: Mapping[str, object], key: str, most: tuple[int, ...], low: float, high: float, *, exact: Collection[int]
) -> Floats:
    """An array of finite numbers in a range, with 1 to `most` along each axis; along those of `exact` exactly so."""
    value = entry.get(key)
    try:
        numbers: npt.NDArray[np.float64] = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{key} are no numbers") from error
    if numbers.ndim != len(most) or not numbers.size or any(a > b for a, b in zip(numbers.shape, most, strict=True)):
        raise ValueError(f"{key} have a wrong shape")
    if any(numbers.shape[axis] != most[axis] for axis in exact):
        raise ValueError(f"{key} have a wrong shape")
    if not np.isfinite(numbers).all() or numbers.min() < low or numbers.max() > high:
        raise ValueError(f"{key} are out of their range")
    return numbers
