"""Targets saved for a later run, as plain JSON values, so that their prompts find them again."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamseg.errors import DataError
from streamseg.prompting.appearance import APPEARANCE_VIEWS, Appearance, Galleries, appearance_of
from streamseg.prompting.history import NUM_CELLS, FrameHistory
from streamseg.prompting.target import Target
from streamseg.structures.arrays import Float64Array
from streamseg.structures.prompt import BoxPrompt, MaskPrompt, PointPrompt, SpatialPrompt

__all__ = ["SavedTarget", "SavedTargets", "fingerprint", "parse_state", "targets_to_json"]

MAX_ENTRIES: Final = 4096
"""Maximum number of prompts of one source; far more than are ever in force at a time."""
MAX_EMBEDDING: Final = 4096
"""Maximum length of an embedding."""


@dataclass(frozen=True, eq=False)
class SavedTarget:
    """The target of one prompt."""

    prompt: int
    """`fingerprint` of the prompt: a prompt of the same id with another one means something else."""
    step: int
    appearance: Appearance

    def is_of(self, prompt: SpatialPrompt) -> bool:
        """Return whether this is the target of a prompt, not of another one with its id."""
        return self.prompt == fingerprint(prompt) and self.step == prompt.step


class SavedTargets:
    """The targets of one source's prompts: those of an earlier run, and the current ones.

    `state_dict` is thread-safe; the rest is not.

    Args:
        state: a result of `state_dict` in an earlier run.

    Raises:
        DataError: the state is invalid.
    """

    def __init__(self, state: Mapping[str, object]) -> None:
        self._loaded = parse_state(state)
        self._current: tuple[dict[str, SavedTarget], FrameHistory, tuple[_Current, ...]] = (
            dict(self._loaded),
            FrameHistory(),
            (),
        )

    def pop(self, prompt: SpatialPrompt) -> Appearance | None:
        """Return the appearance of a prompt's target in an earlier run, once.

        None if there is none, or if it belongs to another prompt of the same id; it is dropped then.
        """
        loaded = self._loaded.pop(prompt.prompt_id, None)
        return loaded.appearance if loaded is not None and loaded.is_of(prompt) else None

    def update(self, targets: Iterable[Target], history: FrameHistory, galleries: Galleries) -> None:
        """Replace the current targets as a whole, so that another thread never reads half a change."""
        current = [(one.prompt, one.hypothesis, one.matched_id, one.appearance) for one in targets]
        self._current = (
            dict(self._loaded),
            history,
            tuple(
                (prompt, one.track_id, matched_id, galleries.verified_seconds(one.track_id), appearance)
                for prompt, one, matched_id, appearance in current
                if one is not None
            ),
        )

    def state_dict(self) -> dict[str, object]:
        """Return the appearance of the targets by prompt id, as plain JSON values."""
        loaded, history, current = self._current
        saved = dict(loaded)
        for prompt, track_id, matched_id, until_seconds, earlier in current:
            appearance = appearance_of(history, matched_id if matched_id >= 0 else track_id, until_seconds, earlier)
            if appearance is not None:
                saved[prompt.prompt_id] = SavedTarget(fingerprint(prompt), prompt.step, appearance)
        return targets_to_json(saved)


_Current = tuple[SpatialPrompt, int, int, float, Appearance | None]
"""A prompt, its target's track id, the one under which the target was re-identified, the last time at which its
appearance was verified, and its appearance before it was re-identified."""


def fingerprint(prompt: SpatialPrompt) -> int:
    """Return a number that distinguishes prompts by their location; the same in every run."""
    match prompt:
        case PointPrompt():
            location = repr(("points", prompt.point_coords, prompt.point_labels)).encode()
        case BoxPrompt():
            location = repr(("box", prompt.box)).encode()
        case MaskPrompt():
            mask = prompt.mask
            location = repr(("mask", mask.x, mask.y, mask.crop.shape)).encode() + np.packbits(mask.crop).tobytes()
    return zlib.crc32(location)


def targets_to_json(targets: Mapping[str, SavedTarget]) -> dict[str, object]:
    """Convert targets to plain JSON values; `parse_state` is the inverse."""
    return {prompt_id: _entry(target) for prompt_id, target in targets.items()}


def parse_state(entries: Mapping[str, object]) -> dict[str, SavedTarget]:
    """Parse the result of `targets_to_json`, by prompt id.

    Raises:
        DataError: an entry is invalid; the first one is named.
    """
    if not isinstance(entries, Mapping) or len(entries) > MAX_ENTRIES:
        raise DataError(f"the saved state of prompts must be a mapping of at most {MAX_ENTRIES} prompt ids")
    targets = {}
    for prompt_id, entry in entries.items():
        try:
            targets[str(prompt_id)] = _parse(entry)
        except ValueError as error:
            raise DataError(
                f"the saved state of prompt {str(prompt_id)[:40]!r} is invalid ({error}); delete it to evaluate the"
                " prompt at its original location again"
            ) from error
    return targets


def _entry(target: SavedTarget) -> dict[str, object]:
    appearance = target.appearance
    return {
        "prompt": target.prompt,
        "step": target.step,
        "box": [round(side, 2) for side in appearance.box],
        "velocity": [round(side, 2) for side in appearance.velocity],
        "silhouettes": [np.packbits(view).tolist() for view in appearance.silhouettes],
        "areas": [round(float(area), 1) for area in appearance.areas],
        "embeddings": None
        if appearance.embeddings is None
        else np.round(appearance.embeddings.astype(float), 4).tolist(),
    }


def _parse(entry: object) -> SavedTarget:
    if not isinstance(entry, Mapping):
        raise ValueError(f"it is {type(entry).__name__}, not a mapping")
    silhouettes = _numbers(entry, "silhouettes", (APPEARANCE_VIEWS, NUM_CELLS // 8), 0, 255, exact=[1])
    num_views = len(silhouettes)
    embeddings = None
    if entry.get("embeddings") is not None:
        given = _numbers(entry, "embeddings", (num_views, MAX_EMBEDDING), -1.01, 1.01, exact=[0])
        embeddings = given.astype(np.float32)
    areas = _numbers(entry, "areas", (num_views,), 0, 1e12, exact=[0])
    x0, y0, x1, y1 = _numbers(entry, "box", (4,), -1e6, 1e6, exact=[0]).tolist()
    velocity = _numbers(entry, "velocity", (2,), -1e9, 1e9, exact=[0]).tolist()
    if x1 < x0 or y1 < y0:
        raise ValueError("box must satisfy x0 <= x1 and y0 <= y1")
    views = np.unpackbits(silhouettes.astype(np.uint8), axis=1).astype(np.bool_)
    appearance = Appearance((x0, y0, x1, y1), (velocity[0], velocity[1]), 0.0, views, areas, embeddings)
    return SavedTarget(_integer(entry, "prompt"), _integer(entry, "step"), appearance)


def _integer(entry: Mapping[str, object], key: str) -> int:
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key} must be an integer")
    return value


def _numbers(
    entry: Mapping[str, object], key: str, most: tuple[int, ...], low: float, high: float, *, exact: Collection[int]
) -> Float64Array:
    """Return an array of finite numbers from `low` to `high`, with 1 to `most` along each axis; in `exact` exactly."""
    value = entry.get(key)
    try:
        numbers: Float64Array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{key} must be numbers") from error
    if numbers.ndim != len(most) or not numbers.size or any(a > b for a, b in zip(numbers.shape, most, strict=True)):
        raise ValueError(f"{key} has a wrong shape")
    if any(numbers.shape[axis] != most[axis] for axis in exact):
        raise ValueError(f"{key} has a wrong shape")
    if not np.isfinite(numbers).all() or numbers.min() < low or numbers.max() > high:
        raise ValueError(f"{key} is out of range")
    return numbers
