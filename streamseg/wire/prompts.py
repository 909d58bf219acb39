"""Prompts as JSON, for the control channel, prompt files and the viewer page.

{"id": "everything"}                                          every instance
{"id": "cup", "points": [[x, y], …], "labels": [1, 0, …]}     labels: 1 foreground, 0 background; all 1 if missing
{"id": "door", "box": [x0, y0, x1, y1]}
{"id": "dog", "mask": {"size": [H, W], "counts": "…"}}        COCO's compressed run lengths over the image
{"id": "red", "text": "a red cup"}

All accept `source`, the source that the prompt applies to; every source if missing. Points, boxes and masks accept
`index` (the `index` in the header of the frame that the sender saw; the next frame if missing), `follow` (true if
missing) and `step` (0 if missing): see `structures.prompt`. A key whose value is null counts as missing.
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
from streamseg.wire.json_fields import MAX_MASK_PIXELS, MAX_PROMPTS, MAX_SEQ, MAX_SIDE_PX, check_source_id

__all__ = ["collect_prompts", "prompt_from_json", "prompt_to_json", "prompts_from_json"]

MAX_ID_CHARACTERS: Final = 64
MAX_POINTS: Final = 1024
MAX_CANVAS_PIXELS: Final = 1 << 26
"""Pixels of the image that a mask was drawn on: twice 8K."""

KINDS: Final = ("points", "box", "mask", "text")
KEYS: Final = ("id", "source", "index", "follow", "step", "points", "labels", "box", "mask", "text")


class _SpatialFields(TypedDict):
    """Fields shared by all spatial prompts."""

    source_id: str | None
    frame_index: int | None
    follow: bool
    step: int


def prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    """Return the prompt as lists and numbers; omit values equal to their default.

    A mask without the size of the image it was drawn on gets the smallest canvas that contains it.
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
    """Parse a prompt written by `prompt_to_json` or by hand.

    Raises:
        DataError: the values are not a valid prompt.
    """
    if not isinstance(values, Mapping):
        raise DataError(f"a prompt must be a JSON object with keys {', '.join(KEYS)}, got {type(values).__name__}")
    unknown = [str(key) for key in values if key not in KEYS]
    if unknown:
        raise DataError(f"unknown prompt key {unknown[0][:40]!r}; valid keys are {', '.join(KEYS)}")
    prompt_id = values.get("id")
    if not isinstance(prompt_id, str) or not 0 < len(prompt_id) <= MAX_ID_CHARACTERS:
        raise DataError(f"a prompt needs an id of 1 to {MAX_ID_CHARACTERS} characters, got {_shorten(prompt_id)}")
    _check_characters(prompt_id, f"prompt {prompt_id!r}: its id")
    kinds = [kind for kind in KINDS if values.get(kind) is not None]
    if len(kinds) > 1:
        raise DataError(f"prompt {prompt_id!r}: give one of {', '.join(KINDS)}, got {' and '.join(kinds)}")
    if values.get("labels") is not None and kinds != ["points"]:
        raise DataError(f"prompt {prompt_id!r}: labels require points")
    common = _spatial_fields(prompt_id, values)
    match kinds:
        case ["points"]:
            return _point_prompt(prompt_id, values["points"], values.get("labels"), common)
        case ["box"]:
            x0, y0, x1, y1 = _numbers(values["box"], 4, f"prompt {prompt_id!r}: a box must be [x0, y0, x1, y1]")
            return BoxPrompt(prompt_id, (x0, y0, x1, y1), **common)
        case ["mask"]:
            return _mask_prompt(prompt_id, values["mask"], common)
    if common["frame_index"] is not None or not common["follow"] or common["step"]:
        raise DataError(f"prompt {prompt_id!r}: index, follow and step require points, a box or a mask")
    if kinds == ["text"]:
        return _text_prompt(prompt_id, values["text"], common["source_id"])
    return EverythingPrompt(prompt_id, source_id=common["source_id"])


def prompts_from_json(values: Any) -> tuple[Prompt, ...]:
    """Parse a list of prompts with distinct ids, in the given order; it may be empty.

    Raises:
        DataError: not a list, too long, an item is not a valid prompt, or see `collect_prompts`.
    """
    if not isinstance(values, list | tuple):
        raise DataError(f"prompts must be a list of at most {MAX_PROMPTS}, got {type(values).__name__}")
    if len(values) > MAX_PROMPTS:
        raise DataError(f"prompts must be a list of at most {MAX_PROMPTS}, got {len(values)}")
    return collect_prompts(map(prompt_from_json, values))


def collect_prompts(prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    """Collect prompts one by one, so that excess is rejected before all of it is allocated.

    Raises:
        DataError: there are more than `MAX_PROMPTS`, two share an id, or their masks are too large in total.
    """
    collected: dict[str, Prompt] = {}
    num_pixels = 0
    for prompt in prompts:
        if prompt.prompt_id in collected:
            raise DataError(f"prompt ids must be unique, this one occurs twice: {prompt.prompt_id!r}")
        collected[prompt.prompt_id] = prompt
        if len(collected) > MAX_PROMPTS:
            raise DataError(f"at most {MAX_PROMPTS} prompts are allowed at a time, got more; clear some")
        if isinstance(prompt, MaskPrompt):
            num_pixels += _canvas_size(prompt)[0] * prompt.mask.crop.shape[1]
            if num_pixels > MAX_MASK_PIXELS:
                raise DataError(
                    f"the masks of all prompts exceed {MAX_MASK_PIXELS} pixels in total, counted over the image's"
                    " height; give boxes instead"
                )
    return tuple(collected.values())


def _canvas_size(prompt: MaskPrompt) -> tuple[int, int]:
    if prompt.image_size is not None:
        return prompt.image_size
    height, width = prompt.mask.crop.shape
    return prompt.mask.y + height, prompt.mask.x + width


def _spatial_fields(prompt_id: str, values: Mapping[str, Any]) -> _SpatialFields:
    source_id, follow = values.get("source"), values.get("follow")
    if source_id is not None:
        if not isinstance(source_id, str):
            raise DataError(f"prompt {prompt_id!r}: source must be the id of a source, got {_shorten(source_id)}")
        try:
            check_source_id(source_id)
        except WireError as error:
            raise DataError(f"prompt {prompt_id!r}: {error}") from error
    if follow is not None and not isinstance(follow, bool):
        raise DataError(f"prompt {prompt_id!r}: follow must be true or false, got {_shorten(follow)}")
    return _SpatialFields(
        source_id=source_id,
        frame_index=_count(prompt_id, values, "index"),
        follow=follow is not False,
        step=_count(prompt_id, values, "step") or 0,
    )


def _count(prompt_id: str, values: Mapping[str, Any], key: str) -> int | None:
    value = values.get(key)
    if value is not None and (type(value) is not int or not 0 <= value <= MAX_SEQ):
        raise DataError(f"prompt {prompt_id!r}: {key} must be an integer from 0 to {MAX_SEQ}, got {_shorten(value)}")
    return value


def _point_prompt(prompt_id: str, points: Any, labels: Any, common: _SpatialFields) -> PointPrompt:
    if not isinstance(points, list | tuple) or len(points) > MAX_POINTS:
        received = f"{len(points)} points" if isinstance(points, list | tuple) else type(points).__name__
        raise DataError(f"prompt {prompt_id!r}: points must be a list of at most {MAX_POINTS} [x, y], got {received}")
    coords = []
    for point in points:
        x, y = _numbers(point, 2, f"prompt {prompt_id!r}: a point must be [x, y]")
        coords.append((x, y))
    if labels is None:
        labels = [1] * len(coords)
    if not isinstance(labels, list | tuple) or any(type(label) is not int for label in labels):
        raise DataError(
            f"prompt {prompt_id!r}: labels must be a list of 1 (foreground) and 0 (background), got {_shorten(labels)}"
        )
    return PointPrompt(prompt_id, tuple(coords), tuple(labels), **common)


def _mask_prompt(prompt_id: str, values: Any, common: _SpatialFields) -> MaskPrompt:
    rule = f'prompt {prompt_id!r}: a mask must be {{"size": [H, W], "counts": "…"}}'
    if not isinstance(values, Mapping) or set(values) != {"size", "counts"}:
        raise DataError(f"{rule}, got {_shorten(values)}")
    size, counts = values["size"], values["counts"]
    if not isinstance(size, list | tuple) or len(size) != 2 or any(type(side) is not int for side in size):
        raise DataError(f"{rule}, got size {_shorten(size)}")
    if not all(0 < side <= MAX_SIDE_PX for side in size) or size[0] * size[1] > MAX_CANVAS_PIXELS:
        raise DataError(
            f"prompt {prompt_id!r}: the size [H, W] of a mask must be 1 to {MAX_SIDE_PX} pixels per side and at most"
            f" {MAX_CANVAS_PIXELS} pixels in total, got {_shorten(size)}"
        )
    if not isinstance(counts, str):
        raise DataError(f"{rule} with compressed counts, which are a string; got {_shorten(counts)}")
    try:
        mask = coco_to_crop(CocoRle(size=list(size), counts=counts))
    except DataError as error:
        raise DataError(f"prompt {prompt_id!r}: invalid mask: {error}") from error
    return MaskPrompt(prompt_id, mask, (size[0], size[1]), **common)


def _text_prompt(prompt_id: str, text: Any, source_id: str | None) -> TextPrompt:
    if not isinstance(text, str):
        raise DataError(f"prompt {prompt_id!r}: text must be a string, got {_shorten(text)}")
    _check_characters(text, f"prompt {prompt_id!r}: its text")
    return TextPrompt(prompt_id, text, source_id=source_id)


def _check_characters(text: str, what: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(f"{what} contains an unpaired surrogate, which is not valid text")


def _numbers(values: Any, count: int, rule: str) -> tuple[float, ...]:
    is_list = isinstance(values, list | tuple) and len(values) == count
    if not is_list or any(type(value) not in (int, float) for value in values):
        raise DataError(f"{rule} of numbers, got {_shorten(values)}")
    try:
        return tuple(float(value) for value in values)
    except OverflowError as error:
        raise DataError(f"{rule} of numbers that fit a double") from error


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
