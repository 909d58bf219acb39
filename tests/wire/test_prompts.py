"""Prompts as JSON."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as reference

from streamseg.config import PromptConfig
from streamseg.errors import DataError
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, MaskPrompt, PointPrompt, Prompt, TextPrompt
from streamseg.wire import collect_prompts, prompt_from_json, prompt_to_json, prompts_from_json
from streamseg.wire.prompts import MAX_CANVAS_PIXELS
from tests.support.messages import disc

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=64)
SOURCES = st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
POINTS = st.lists(st.tuples(FINITE, FINITE, st.integers(0, 1)), min_size=1, max_size=4)
CORNERS = st.lists(st.integers(-5000, 5000), min_size=2, max_size=2, unique=True).map(sorted)
SPATIAL = {
    "source_id": SOURCES,
    "frame_index": st.none() | st.integers(0, 2**53 - 1),
    "follow": st.booleans(),
    "step": st.integers(0, 2**53 - 1),
}


@st.composite
def masks(draw: st.DrawFn) -> tuple[CropMask, tuple[int, int]]:
    """Draw a mask in its tight box and the size of its image."""
    full = draw(hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any))
    across, down = np.flatnonzero(full.any(axis=0)), np.flatnonzero(full.any(axis=1))
    crop = full[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    return CropMask(crop, int(across[0]), int(down[0])), full.shape


PROMPTS = st.one_of(
    st.builds(EverythingPrompt, IDS, source_id=SOURCES),
    st.builds(
        lambda name, rows, **fields: PointPrompt(
            name, tuple(row[:2] for row in rows), tuple(row[2] for row in rows), **fields
        ),
        IDS, POINTS, **SPATIAL,
    ),
    st.builds(
        lambda name, xs, ys, **fields: BoxPrompt(name, (xs[0], ys[0], xs[1], ys[1]), **fields),
        IDS, CORNERS, CORNERS, **SPATIAL,
    ),
    st.builds(lambda name, mask, **fields: MaskPrompt(name, *mask, **fields), IDS, masks(), **SPATIAL),
    st.builds(
        TextPrompt,
        IDS,
        st.text(st.characters(codec="utf-8"), max_size=256).filter(str.strip),
        source_id=SOURCES,
    ),
)  # fmt: skip


def comparable(prompt: Prompt) -> Any:
    """Return a value that `==` can compare, with masks as pixels."""
    if isinstance(prompt, MaskPrompt):
        return {**vars(prompt), "mask": (prompt.mask.x, prompt.mask.y, prompt.mask.crop.tolist())}
    return prompt


@pytest.mark.slow
@given(PROMPTS)
def test_prompt_round_trips_through_json(prompt):
    read = prompt_from_json(json.loads(json.dumps(prompt_to_json(prompt), allow_nan=False)))
    assert comparable(read) == comparable(prompt)


@pytest.mark.slow
@given(st.lists(PROMPTS, max_size=4, unique_by=lambda prompt: prompt.prompt_id))
def test_list_keeps_order(prompts):
    read = prompts_from_json([prompt_to_json(prompt) for prompt in prompts])
    assert list(map(comparable, read)) == list(map(comparable, prompts))


def test_mask_equals_pycocotools():
    full = CropMask(disc(9), 5, 7).full((48, 64))
    encoded = reference.encode(np.asfortranarray(full.view(np.uint8)))
    written = {"size": [48, 64], "counts": encoded["counts"].decode("ascii")}
    read = prompt_from_json({"id": "dog", "mask": written})
    assert isinstance(read, MaskPrompt)
    assert (read.mask.full((48, 64)) == full).all()
    assert read.image_size == (48, 64)
    assert (read.mask() == full).all(), "the mask has the space of its image"
    assert read.mask.centroid == pytest.approx((9.5, 11.5))
    assert prompt_to_json(read) == {"id": "dog", "mask": written}


def test_mask_without_image_size_gets_smallest_canvas():
    read = prompt_from_json(prompt_to_json(MaskPrompt("dog", CropMask(disc(9), 5, 7))))
    assert isinstance(read, MaskPrompt)
    assert read.image_size == (16, 14)
    assert (read.mask.full((16, 14)) == CropMask(disc(9), 5, 7).full((16, 14))).all()


def test_default_values_are_omitted():
    assert prompt_to_json(BoxPrompt("door", (0, 0, 4, 5))) == {"id": "door", "box": [0, 0, 4, 5]}
    prompt = BoxPrompt("door", (0, 0, 4, 5), source_id="cam0", frame_index=0, follow=False, step=2)
    assert prompt_to_json(prompt) == {
        "id": "door", "source": "cam0", "box": [0, 0, 4, 5], "index": 0, "follow": False, "step": 2
    }  # fmt: skip


def test_null_counts_as_missing():
    values = dict.fromkeys(["source", "index", "follow", "step", "points", "labels", "box", "mask", "text"])
    assert prompt_from_json({"id": "a", **values}) == EverythingPrompt("a")
    assert prompt_from_json({"id": "a", **values, "box": [0, 0, 1, 1]}) == BoxPrompt("a", (0, 0, 1, 1))


@pytest.mark.parametrize(
    "written",
    [
        {"id": "all"},
        {"id": "cup", "points": [[1, 2], [3, 4]], "labels": [1, 0]},
        {"id": "cup", "points": [[1, 2]]},
        {"id": "door", "box": [0, 0, 4, 5]},
        {"id": "door", "box": [0, 0, 4, 5], "source": "cam0", "follow": False},
        {"id": "red", "text": "a red cup"},
        {"id": "red", "text": "a red cup", "source": "cam0"},
    ],
)
def test_configured_prompt_is_parsed(written):
    assert prompt_from_json(PromptConfig(**written).model_dump()) == prompt_from_json(written)


def test_points_are_foreground_by_default():
    assert prompt_from_json({"id": "a", "points": [[1, 2], [3, 4]]}) == PointPrompt("a", ((1, 2), (3, 4)), (1, 1))


BOX = {"id": "a", "box": [0, 0, 1, 1]}


@pytest.mark.parametrize(
    ("values", "error"),
    [
        pytest.param([], "JSON object", id="list"),
        pytest.param(None, "JSON object", id="nothing"),
        pytest.param({}, "needs an id", id="no id"),
        pytest.param({"id": ""}, "needs an id", id="empty id"),
        pytest.param({"id": "x" * 65}, "needs an id", id="long id"),
        pytest.param({"id": 5}, "needs an id", id="numeric id"),
        pytest.param({"id": "a", "point": [[1, 2]]}, "unknown prompt key 'point'", id="unknown key"),
        pytest.param({"id": "a", "points": [[1, 2]], "box": [0, 0, 1, 1]}, "got points and box", id="points and box"),
        pytest.param({"id": "a", "mask": {}, "text": "b"}, "got mask and text", id="mask and text"),
        pytest.param({"id": "a", "labels": [1]}, "labels require points", id="labels only"),
        pytest.param({"id": "a", "points": []}, "no points", id="no points"),
        pytest.param({"id": "a", "points": "12"}, "points must be a list", id="points as text"),
        pytest.param({"id": "a", "points": [1, 2]}, r"a point must be \[x, y\]", id="one flat point"),
        pytest.param({"id": "a", "points": [[1]]}, r"a point must be \[x, y\]", id="incomplete point"),
        pytest.param({"id": "a", "points": [[1, "2"]]}, r"a point must be \[x, y\]", id="text coordinate"),
        pytest.param({"id": "a", "points": [[True, 2]]}, r"a point must be \[x, y\]", id="true as coordinate"),
        pytest.param({"id": "a", "points": [[1, float("nan")]]}, "finite", id="NaN"),
        pytest.param({"id": "a", "points": [[10**400, 1]]}, "fit a double", id="exceeds double"),
        pytest.param({"id": "a", "points": [[1, 2]] * 1025}, "at most 1024", id="too many points"),
        pytest.param({"id": "a", "points": [[1, 2]], "labels": [1, 0]}, "one label per point", id="too many labels"),
        pytest.param({"id": "a", "points": [[1, 2]], "labels": [2]}, "labels must be 1", id="unknown label"),
        pytest.param({"id": "a", "points": [[1, 2]], "labels": [True]}, "labels must be a list", id="true as label"),
        pytest.param({"id": "a", "points": [[1, 2]], "labels": 1}, "labels must be a list", id="one label for all"),
        pytest.param({"id": "a", "box": [0, 0, 1]}, "a box must be", id="three numbers"),
        pytest.param({"id": "a", "box": [0, 0, 0, 1]}, "x0 < x1", id="box without width"),
        pytest.param({"id": "a", "box": {"x": 1}}, "a box must be", id="box as object"),
        pytest.param({"id": "a", "box": [float("nan"), 0, 1, 1]}, "finite", id="NaN in box"),
        pytest.param({"id": "\ud800"}, "surrogate", id="unpaired surrogate in id"),
        pytest.param({"id": "a", "source": 0}, "source must be the id of a source, got 0", id="numeric source"),
        pytest.param({"id": "a", "source": "a/b"}, "source id 'a/b'", id="invalid source"),
        pytest.param({"id": "a", "source": ""}, "source id ''", id="empty source"),
        pytest.param({**BOX, "index": -1}, "index must be an integer from 0 to .*, got -1", id="negative index"),
        pytest.param({**BOX, "index": 1.0}, r"index must be an integer from 0 to .*, got 1\.0", id="fractional index"),
        pytest.param({**BOX, "index": float("nan")}, "index must be an integer .*, got nan", id="NaN index"),
        pytest.param({**BOX, "index": True}, "index must be an integer .*, got True", id="true as index"),
        pytest.param({**BOX, "index": 2**53}, "index must be an integer", id="index beyond JavaScript"),
        pytest.param({**BOX, "step": -1}, "step must be an integer from 0 to .*, got -1", id="negative step"),
        pytest.param({**BOX, "step": "1"}, "step must be an integer .*, got '1'", id="text as step"),
        pytest.param({**BOX, "follow": 1}, "follow must be true or false, got 1", id="one as true"),
        pytest.param({"id": "a", "index": 3}, "index, follow and step require", id="everything with index"),
        pytest.param({"id": "a", "step": 1}, "index, follow and step require", id="everything with step"),
        pytest.param({"id": "a", "text": "b", "follow": False}, "index, follow and step", id="text with follow"),
        pytest.param({"id": "a", "text": ""}, "empty text", id="no text"),
        pytest.param({"id": "a", "text": " \t\n"}, "empty text", id="blank text"),
        pytest.param({"id": "a", "text": "x" * 10_000}, "10000 characters; at most 256", id="long text"),
        pytest.param({"id": "a", "text": 5}, "text must be a string, got 5", id="numeric text"),
        pytest.param({"id": "a", "text": ["a", "b"]}, "text must be a string", id="several texts"),
        pytest.param({"id": "a", "text": "\udfff"}, "surrogate", id="unpaired surrogate in text"),
    ],
)
def test_invalid_prompt_is_rejected(values, error):
    with pytest.raises(DataError, match=error) as caught:
        prompt_from_json(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "error"),
    [
        pytest.param("011", "a mask must be", id="counts only"),
        pytest.param({}, "a mask must be", id="neither size nor counts"),
        pytest.param({"size": [2, 2]}, "a mask must be", id="no counts"),
        pytest.param({"size": [2, 2], "counts": "04", "area": 4}, "a mask must be", id="one key too many"),
        pytest.param({"size": 4, "counts": "04"}, "got size 4", id="size as number"),
        pytest.param({"size": [2, 2, 3], "counts": "04"}, "got size", id="size of three"),
        pytest.param({"size": [2.0, 2], "counts": "04"}, "got size", id="fractional size"),
        pytest.param({"size": [True, 4], "counts": "04"}, "got size", id="true as size"),
        pytest.param({"size": [0, 4], "counts": ""}, "1 to 32768 pixels", id="no row"),
        pytest.param({"size": [-2, -2], "counts": "04"}, "1 to 32768 pixels", id="negative size"),
        pytest.param({"size": [32769, 1], "counts": "04"}, "1 to 32768 pixels", id="too high"),
        pytest.param({"size": [32768, 32768], "counts": "04"}, "at most 67108864 pixels in total", id="too large"),
        pytest.param({"size": [10**400, 1], "counts": "04"}, "1 to 32768 pixels", id="size of 400 digits"),
        pytest.param({"size": [2, 2], "counts": [0, 4]}, r"a string; got \[0, 4\]", id="counts as list"),
        pytest.param({"size": [2, 2], "counts": None}, "a string; got None", id="null counts"),
        pytest.param({"size": [2, 2], "counts": "05"}, "add up to 5 pixels", id="counts beyond the size"),
        pytest.param({"size": [2, 2], "counts": "03"}, "add up to 3 pixels", id="counts below the size"),
        pytest.param({"size": [2, 2], "counts": ""}, "add up to 0 pixels", id="no count"),
        pytest.param({"size": [2, 2], "counts": "08L"}, "add up to 4 pixels", id="negative count"),
        pytest.param({"size": [2, 2], "counts": "4"}, "empty mask", id="no pixel inside"),
        pytest.param({"size": [2, 2], "counts": "0\x00"}, "not a compressed COCO mask", id="zero byte"),
        pytest.param({"size": [2, 2], "counts": "Käse"}, "not a compressed COCO mask", id="not ASCII"),
        pytest.param({"size": [2, 2], "counts": "\ud800"}, "not a compressed COCO mask", id="unpaired surrogate"),
        pytest.param({"size": [2, 2], "counts": "0o"}, "not a compressed COCO mask", id="unterminated number"),
        pytest.param({"size": [2, 2], "counts": "0" + "o" * 9 + "0"}, "at most 7", id="number of ten digits"),
    ],
)
def test_invalid_mask_is_rejected(mask, error):
    with pytest.raises(DataError, match=error) as caught:
        prompt_from_json({"id": "a", "mask": mask})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=2), st.text(st.characters(min_codepoint=48, max_codepoint=111))
)
def test_any_counts_are_parsed_or_rejected(size, counts):
    try:
        read = prompt_from_json({"id": "a", "mask": {"size": size, "counts": counts}})
    except DataError:
        return
    assert isinstance(read, MaskPrompt)
    assert read.mask.full((size[0], size[1])).any()


@pytest.mark.parametrize(
    ("values", "error"),
    [
        pytest.param({"id": "a"}, "list of at most 1024, got dict", id="one prompt"),
        pytest.param([{"id": "a"}, {"id": "a"}], "twice: 'a'", id="duplicate id"),
        pytest.param([{"id": str(nth)} for nth in range(1025)], "at most 1024, got 1025", id="too many"),
    ],
)
def test_invalid_list_of_prompts_is_rejected(values, error):
    with pytest.raises(DataError, match=error):
        prompts_from_json(values)


def test_thousand_prompts_are_parsed():
    boxes = [{"id": str(nth), "box": [nth, 0, nth + 1, 1], "index": nth} for nth in range(1024)]
    assert [prompt.prompt_id for prompt in prompts_from_json(boxes)] == [str(nth) for nth in range(1024)]


def test_too_large_masks_are_rejected_before_allocation():
    side = 4096
    whole = prompt_to_json(MaskPrompt("a", CropMask(np.ones((1, side), np.bool_), 0, side - 1), (side, side)))["mask"]
    prompts = [{"id": str(nth), "mask": whole} for nth in range(1024)]
    assert side * side <= MAX_CANVAS_PIXELS
    with pytest.raises(DataError, match="exceed 536870912 pixels"):
        prompts_from_json(prompts)


def test_prompts_are_collected_up_to_limit():
    created = []

    def endless():
        while True:
            created.append(EverythingPrompt(str(len(created))))
            yield created[-1]

    with pytest.raises(DataError, match="1024 prompts are allowed at a time"):
        collect_prompts(endless())
    assert len(created) == 1025
