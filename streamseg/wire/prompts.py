"""Prompts as JSON, for the control channel, for files and for the page.

{"id": "everything"}                                          every instance
{"id": "cup", "points": [[x, y], …], "labels": [1, 0, …]}     labels: 1 foreground, 0 background; all 1 if missing
{"id": "door", "box": [x0, y0, x1, y1]}
{"id": "dog", "mask": {"size": [H, W], "counts": "…"}}        COCO's compressed run lengths over the picture
{"id": "red", "text": "a red cup"}

All may have `source`, the one that is asked; every source if missing. Points, boxes and masks may have `index`, the
`index` of the header that the sender saw (the next picture if missing), `follow` (true if missing) and `step` (0 if
missing): see `structures.prompt`. A key that is null counts as missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict

from streamseg.errors import DataError, WireError
from streamseg.rle import CocoRle, coco_to_crop, crop_to_coco
from streamseg.structures.prompt import (
    BoxPrompt,
    EverythingPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    TextPrompt,
)
from streamseg.wire.limits import MAX_MASK_PIXELS, MAX_PROMPTS, MAX_SEQ, MAX_SIDE_PX
from streamseg.wire.topics import check_source_id

__all__ = ["collect_prompts", "prompt_from_json", "prompt_to_json", "prompts_from_json"]

MAX_ID_CHARACTERS: Final = 64
MAX_POINTS: Final = 1024
MAX_CANVAS_PIXELS: Final = 1 << 26
"""Of the picture that one mask was drawn on: twice 8K."""

KINDS: Final = ("points", "box", "mask", "text")
KEYS: Final = ("id", "source", "index", "follow", "step", "points", "labels", "box", "mask", "text")


class _Place(TypedDict):
    """What all located prompts share."""

    source_id: str | None
    frame_index: int | None
    follow: bool
    step: int


def prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    """The prompt as lists and numbers; what is as it is anyway is left out.

    A mask that does not say which picture it was drawn on gets the smallest canvas that holds it.
    """
    values: dict[str, Any] = {"id": prompt.prompt_id}
    if prompt.source_id is not None:
        values["source"] = prompt.source_id
    match prompt:
        case EverythingPrompt():
            return values
        case TextPrompt():
            return {**values, "text": prompt.text}
        case PointPrompt():
            values["points"] = [list(point) for point in prompt.point_coords]
            values["labels"] = list(prompt.point_labels)
        case BoxPrompt():
            values["box"] = list(prompt.box)
        case MaskPrompt():
            values["mask"] = crop_to_coco(prompt.mask, _canvas_size(prompt))
    if prompt.frame_index is not None:
        values["index"] = prompt.frame_index
    if not prompt.follow:
        values["follow"] = False
    if prompt.step:
        values["step"] = prompt.step
    return values


def prompt_from_json(values: Any) -> Prompt:
    """The prompt that `prompt_to_json` wrote, or that a person did.

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
        raise DataError(f"a prompt needs an id of 1 to {MAX_ID_CHARACTERS} characters, got {_shown(prompt_id)}")
    _check_characters(prompt_id, f"prompt {prompt_id!r}: its id")
    kinds = [kind for kind in KINDS if values.get(kind) is not None]
    if len(kinds) > 1:
        raise DataError(f"prompt {prompt_id!r}: give one of {', '.join(KINDS)}, got {' and '.join(kinds)}")
    if values.get("labels") is not None and kinds != ["points"]:
        raise DataError(f"prompt {prompt_id!r}: labels belong to points")
    place = _place(prompt_id, values)
    match kinds:
        case ["points"]:
            return _point_prompt(prompt_id, values["points"], values.get("labels"), place)
        case ["box"]:
            x0, y0, x1, y1 = _numbers(values["box"], 4, f"prompt {prompt_id!r}: a box is [x0, y0, x1, y1]")
            return BoxPrompt(prompt_id, (x0, y0, x1, y1), **place)
        case ["mask"]:
            return _mask_prompt(prompt_id, values["mask"], place)
    if place["frame_index"] is not None or not place["follow"] or place["step"]:
        raise DataError(f"prompt {prompt_id!r}: index, follow and step belong to points, a box or a mask")
    if kinds == ["text"]:
        return _text_prompt(prompt_id, values["text"], place["source_id"])
    return EverythingPrompt(prompt_id, source_id=place["source_id"])


def prompts_from_json(values: Any) -> tuple[Prompt, ...]:
    """A list of prompts with different ids, in its order; it may be empty.

    Raises:
        DataError: no list, too long, one of them is no prompt, or see `collect_prompts`.
    """
    if not isinstance(values, list | tuple):
        raise DataError(f"prompts are a list of at most {MAX_PROMPTS}, got {type(values).__name__}")
    if len(values) > MAX_PROMPTS:
        raise DataError(f"prompts are a list of at most {MAX_PROMPTS}, got {len(values)}")
    return collect_prompts(map(prompt_from_json, values))


def collect_prompts(prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    """The prompts, taken one by one, so that what is too much is refused before all of it is made.

    Raises:
        DataError: more than `MAX_PROMPTS`, two share an id, or their masks are too large together.
    """
    collected: dict[str, Prompt] = {}
    num_pixels = 0
    for prompt in prompts:
        if prompt.prompt_id in collected:
            raise DataError(f"prompt ids must differ, this one occurs twice: {prompt.prompt_id!r}")
        collected[prompt.prompt_id] = prompt
        if len(collected) > MAX_PROMPTS:
            raise DataError(f"there may be {MAX_PROMPTS} prompts at a time, got more; clear some")
        if isinstance(prompt, MaskPrompt):
            num_pixels += _canvas_size(prompt)[0] * prompt.mask.crop.shape[1]
            if num_pixels > MAX_MASK_PIXELS:
                raise DataError(
                    f"the masks of all prompts span more than the {MAX_MASK_PIXELS} pixels that are allowed, counted"
                    " over the picture's height; give boxes instead"
                )
    return tuple(collected.values())


def _canvas_size(prompt: MaskPrompt) -> tuple[int, int]:
    if prompt.image_size is not None:
        return prompt.image_size
    height, width = prompt.mask.crop.shape
    return prompt.mask.y + height, prompt.mask.x + width


def _place(prompt_id: str, values: Mapping[str, Any]) -> _Place:
    source_id, follow = values.get("source"), values.get("follow")
    if source_id is not None:
        if not isinstance(source_id, str):
            raise DataError(f"prompt {prompt_id!r}: source is the id of one, got {_shown(source_id)}")
        try:
            check_source_id(source_id)
        except WireError as error:
            raise DataError(f"prompt {prompt_id!r}: {error}") from error
    if follow is not None and not isinstance(follow, bool):
        raise DataError(f"prompt {prompt_id!r}: follow is true or false, got {_shown(follow)}")
    return _Place(
        source_id=source_id,
        frame_index=_count(prompt_id, values, "index"),
        follow=follow is not False,
        step=_count(prompt_id, values, "step") or 0,
    )


def _count(prompt_id: str, values: Mapping[str, Any], key: str) -> int | None:
    value = values.get(key)
    if value is not None and (type(value) is not int or not 0 <= value <= MAX_SEQ):
        raise DataError(f"prompt {prompt_id!r}: {key} is an integer from 0 to {MAX_SEQ}, got {_shown(value)}")
    return value


def _point_prompt(prompt_id: str, points: Any, labels: Any, place: _Place) -> PointPrompt:
    if not isinstance(points, list | tuple) or len(points) > MAX_POINTS:
        got = f"{len(points)} of them" if isinstance(points, list | tuple) else type(points).__name__
        raise DataError(f"prompt {prompt_id!r}: points are a list of at most {MAX_POINTS} [x, y], got {got}")
    coords = []
    for point in points:
        x, y = _numbers(point, 2, f"prompt {prompt_id!r}: a point is [x, y]")
        coords.append((x, y))
    if labels is None:
        labels = [1] * len(coords)
    if not isinstance(labels, list | tuple) or any(type(label) is not int for label in labels):
        raise DataError(
            f"prompt {prompt_id!r}: labels are a list of 1 (foreground) and 0 (background), got {_shown(labels)}"
        )
    return PointPrompt(prompt_id, tuple(coords), tuple(labels), **place)


def _mask_prompt(prompt_id: str, values: Any, place: _Place) -> MaskPrompt:
    rule = f'prompt {prompt_id!r}: a mask is {{"size": [H, W], "counts": "…"}}'
    if not isinstance(values, Mapping) or set(values) != {"size", "counts"}:
        raise DataError(f"{rule}, got {_shown(values)}")
    size, counts = values["size"], values["counts"]
    if not isinstance(size, list | tuple) or len(size) != 2 or any(type(side) is not int for side in size):
        raise DataError(f"{rule}, got {_shown(size)} as its size")
    if not all(0 < side <= MAX_SIDE_PX for side in size) or size[0] * size[1] > MAX_CANVAS_PIXELS:
        raise DataError(
            f"prompt {prompt_id!r}: the size [H, W] of a mask is 1 to {MAX_SIDE_PX} pixels each and at most"
            f" {MAX_CANVAS_PIXELS} together, got {_shown(size)}"
        )
    if not isinstance(counts, str):
        raise DataError(f"{rule} with compressed counts, which are a string; got {_shown(counts)}")
    try:
        mask = coco_to_crop(CocoRle(size=list(size), counts=counts))
    except DataError as error:
        raise DataError(f"prompt {prompt_id!r}: its mask is broken: {error}") from error
    return MaskPrompt(prompt_id, mask, (size[0], size[1]), **place)


def _text_prompt(prompt_id: str, text: Any, source_id: str | None) -> TextPrompt:
    if not isinstance(text, str):
        raise DataError(f"prompt {prompt_id!r}: text is a string, got {_shown(text)}")
    _check_characters(text, f"prompt {prompt_id!r}: its text")
    return TextPrompt(prompt_id, text, source_id=source_id)


def _check_characters(text: str, what: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(f"{what} holds half a surrogate pair, which is no text")


def _numbers(values: Any, count: int, rule: str) -> tuple[float, ...]:
    is_list = isinstance(values, list | tuple) and len(values) == count
    if not is_list or any(type(value) not in (int, float) for value in values):
        raise DataError(f"{rule} of numbers, got {_shown(values)}")
    try:
        return tuple(float(value) for value in values)
    except OverflowError as error:
        raise DataError(f"{rule} of numbers that fit a double") from error


def _shown(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 60 else f"{words[:57]}..."
