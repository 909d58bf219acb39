"""Prompts as JSON, for the control channel and for files.

{"id": "everything"}                                          every instance
{"id": "cup", "points": [[x, y], …], "labels": [1, 0, …]}     labels: 1 foreground, 0 background; all 1 if missing
{"id": "door", "box": [x0, y0, x1, y1]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streamseg.errors import DataError
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt

__all__ = ["prompt_from_json", "prompt_to_json", "prompts_from_json"]

MAX_ID_CHARACTERS: Final = 64
MAX_POINTS: Final = 1024
MAX_PROMPTS: Final = 256
KEYS: Final = ("id", "points", "labels", "box")


def prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    """The prompt as lists and numbers."""
    match prompt:
        case EverythingPrompt():
            return {"id": prompt.prompt_id}
        case PointPrompt():
            points = [list(point) for point in prompt.point_coords]
            return {"id": prompt.prompt_id, "points": points, "labels": list(prompt.point_labels)}
        case BoxPrompt():
            return {"id": prompt.prompt_id, "box": list(prompt.box)}


def prompt_from_json(values: Any) -> Prompt:
    """The prompt that `prompt_to_json` wrote, or that a person did; a key that is null counts as missing.

    Raises:
        DataError: the values are no prompt.
    """
    if not isinstance(values, Mapping):
        raise DataError(f"a prompt is a JSON object with {', '.join(KEYS)}, got {type(values).__name__}")
    unknown = [str(key) for key in values if key not in KEYS]
    if unknown:
        raise DataError(f"a prompt has no key {unknown[0][:40]!r}; valid keys are {', '.join(KEYS)}")
    prompt_id = values.get("id")
    if not isinstance(prompt_id, str) or not 0 < len(prompt_id) <= MAX_ID_CHARACTERS:
        raise DataError(f"a prompt needs an id of 1 to {MAX_ID_CHARACTERS} characters, got {str(prompt_id)[:80]!r}")
    points, labels, box = values.get("points"), values.get("labels"), values.get("box")
    if points is not None and box is not None:
        raise DataError(f"prompt {prompt_id!r}: give points or box, not both")
    if points is None and labels is not None:
        raise DataError(f"prompt {prompt_id!r}: labels belong to points")
    if box is not None:
        x0, y0, x1, y1 = _numbers(box, 4, f"prompt {prompt_id!r}: a box is [x0, y0, x1, y1]")
        return BoxPrompt(prompt_id, (x0, y0, x1, y1))
    if points is not None:
        return _point_prompt(prompt_id, points, labels)
    return EverythingPrompt(prompt_id)


def prompts_from_json(values: Any) -> tuple[Prompt, ...]:
    """A list of prompts with different ids, in its order; it may be empty.

    Raises:
        DataError: no list, too long, one of them is no prompt, or two share an id.
    """
    if not isinstance(values, list | tuple) or len(values) > MAX_PROMPTS:
        raise DataError(f"prompts are a list of at most {MAX_PROMPTS}, got {type(values).__name__}")
    prompts = tuple(prompt_from_json(value) for value in values)
    ids = [prompt.prompt_id for prompt in prompts]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise DataError(f"prompt ids must differ, these occur twice: {', '.join(twice)}")
    return prompts


def _point_prompt(prompt_id: str, points: Any, labels: Any) -> PointPrompt:
    if not isinstance(points, list | tuple) or len(points) > MAX_POINTS:
        raise DataError(f"prompt {prompt_id!r}: points are a list of at most {MAX_POINTS} [x, y]")
    coords = []
    for point in points:
        x, y = _numbers(point, 2, f"prompt {prompt_id!r}: a point is [x, y]")
        coords.append((x, y))
    if labels is None:
        labels = [1] * len(coords)
    if not isinstance(labels, list | tuple) or any(type(label) is not int for label in labels):
        raise DataError(f"prompt {prompt_id!r}: labels are a list of 1 (foreground) and 0 (background)")
    return PointPrompt(prompt_id, tuple(coords), tuple(labels))


def _numbers(values: Any, count: int, rule: str) -> tuple[float, ...]:
    is_list = isinstance(values, list | tuple) and len(values) == count
    if not is_list or any(type(value) not in (int, float) for value in values):
        raise DataError(f"{rule} of numbers, got {str(values)[:60]}")
    try:
        return tuple(float(value) for value in values)
    except OverflowError as error:
        raise DataError(f"{rule} of numbers that fit a double") from error
