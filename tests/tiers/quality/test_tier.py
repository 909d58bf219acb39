"""Which objects are decoded in which frame: budget, turns, batches, the background, and a model that fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.structures.arrays import ImageArray
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.structures.message import MessageObject
from streamseg.tiers.quality.tier import PromptableQualityTier
from tests.support.frames import make_frame
from tests.support.promptable import ManualStart, ScriptedModel

SIZE = (96, 128)


def textured(seed: int = 0) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def found(x: float, y: float, width: float = 20, height: float = 16, **changes: object) -> MessageObject:
    """An object whose mask fills its box."""
    crop = np.ones((round(height), round(width)), np.bool_)
    mask = CropMask(crop, round(x), round(y), MaskSpace.of(SIZE))
    values = {"track_id": 1, "prompt_ids": ("p",), "score": 0.5, **changes}
    return MessageObject(box=(x, y, x + width, y + height), mask=mask, area=mask.area, **values)  # type: ignore[arg-type]


def frame_at(index: int, image: ImageArray | None = None, source_id: str = "cam"):
    return make_frame(index, image=textured(index) if image is None else image, source_id=source_id)


def make_tier(model: ScriptedModel, **settings: object) -> PromptableQualityTier:
    tier = PromptableQualityTier(model, name="scripted", clock=model.clock, **settings)  # type: ignore[arg-type]
    model.encoded.clear()
    model.batches.clear()
    return tier


THREE = [found(4, 4), found(40, 40, track_id=2, prompt_ids=("everything",)), found(80, 60, track_id=3)]


@pytest.mark.parametrize(
    ("objects", "prompted", "positions"),
    [
        pytest.param("prompted", {"p"}, {0, 2}, id="prompted"),
        pytest.param("prompted", set(), set(), id="nothing-is-prompted"),
        pytest.param("all", {"p"}, {0, 1, 2}, id="all"),
        pytest.param("all", set(), {0, 1, 2}, id="all-of-everything"),
    ],
)
def test_objects(objects: str, prompted: set[str], positions: set[int]):
    model = ScriptedModel()
    tier = make_tier(model, objects=objects)
    better = tier.improve(frame_at(0), THREE, prompted)
    assert set(better) == positions
    assert model.batches == ([len(positions)] if positions else []), "one batch, one image"
    assert len(model.encoded) == bool(positions)
    for position, one in better.items():
        assert one.mask.crop_box == THREE[position].box
        assert one.quality == pytest.approx(0.9)
    assert tier.report().counts.get("improved", 0) == len(positions)


def test_no_objects():
    tier = make_tier(ScriptedModel(), objects="all")
    assert tier.improve(frame_at(0), [], {"p"}) == {}


@pytest.mark.parametrize(
    ("budget_ms", "num_improved"),
    [
        pytest.param(None, 3, id="no-limit"),
        pytest.param(16.0, 3, id="all-fit"),
        pytest.param(15.9, 2, id="two-fit"),
        pytest.param(12.0, 1, id="one-fits"),
        pytest.param(11.9, 0, id="none-fits"),
    ],
)
def test_budget(budget_ms: float | None, num_improved: int):
    model = ScriptedModel(encode_ms=10.0, decode_ms=2.0)
    tier = make_tier(model, objects="all", budget_ms=budget_ms)
    objects = [found(4 + 30 * n, 4, track_id=n) for n in range(3)]
    better = tier.improve(frame_at(0), objects, {"p"})
    assert sorted(better) == list(range(num_improved)), "those known longest come first"
    assert tier.report().counts.get("over_budget", 0) == 3 - num_improved
    assert len(model.encoded) == bool(num_improved)


@given(
    encode_ms=st.floats(0, 40),
    decode_ms=st.floats(0, 10),
    budget_ms=st.floats(1, 60),
    num_objects=st.integers(0, 6),
    every=st.integers(1, 4),
)
@settings(max_examples=25, deadline=None)
def test_no_frame_takes_longer_than_the_budget(
    encode_ms: float, decode_ms: float, budget_ms: float, num_objects: int, every: int
):
    model = ScriptedModel(encode_ms=encode_ms, decode_ms=decode_ms)
    tier = make_tier(model, objects="all", budget_ms=budget_ms, every=every)
    objects = [found(2 + 20 * n, 4, 14, 14, track_id=n) for n in range(num_objects)]
    for index in range(6):
        before = model.clock.now_ms
        tier.improve(frame_at(index), objects, set())
        assert model.clock.now_ms - before <= budget_ms + 1e-3
    assert len(model.encoded) <= -(-6 // every)
    counts = tier.report().counts
    assert sum(counts.values()) == 6 * num_objects, "each object has one outcome in each frame"


def test_an_overload_costs_one_frame_and_is_over_at_some_time():
    model = ScriptedModel(encode_ms=10.0)
    tier = make_tier(model, budget_ms=20.0)
    objects = [found(4, 4)]
    model.encode_ms = 100.0
    assert tier.improve(frame_at(0), objects, {"p"}), "nobody could know"
    assert not tier.improve(frame_at(1), objects, {"p"})
    model.encode_ms = 10.0
    index = next(index for index in range(2, 200) if tier.improve(frame_at(index), objects, {"p"}))
    assert index < 100


@pytest.mark.parametrize("every", [1, 2, 5])
def test_every_nth_frame_of_each_source(every: int):
    model = ScriptedModel()
    tier = make_tier(model, every=every)
    taken: dict[str, list[int]] = {"a": [], "b": []}
    for index in range(10):
        for source_id, indices in taken.items():
            if tier.improve(frame_at(index, source_id=source_id), [found(4, 4)], {"p"}):
                indices.append(index)
    assert taken == {"a": list(range(0, 10, every)), "b": list(range(0, 10, every))}
    assert tier.report().counts.get("not_due", 0) == 20 - 2 * len(taken["a"])


def test_between_its_turns_a_mask_stays_while_nothing_moves():
    model = ScriptedModel()
    tier = make_tier(model, every=10)
    image = textured()
    first = tier.improve(frame_at(0, image), [found(4, 4)], {"p"})
    again = tier.improve(frame_at(1, image), [found(4, 4)], {"p"})
    assert again == first
    assert tier.report().counts == {"improved": 1, "unchanged": 1}
    moved = image.copy()
    moved[:30, :30] = 255 - moved[:30, :30]
    assert tier.improve(frame_at(2, moved), [found(4, 4)], {"p"}) == {}
    assert tier.improve(frame_at(3, image), [found(4, 4, track_id=5)], {"p"}) == {}, "another object"
    tier.end_source("cam")
    assert tier.improve(frame_at(4, image), [found(4, 4)], {"p"}), "a source that returns begins anew"


def test_a_mask_of_something_else_is_not_used():
    def elsewhere(image: ImageArray, box: np.ndarray) -> np.ndarray:
        mask = np.zeros(image.shape[:2], np.bool_)
        mask[:4, :4] = True
        return mask

    tier = make_tier(ScriptedModel(answer=elsewhere))
    assert tier.improve(frame_at(0), [found(40, 40)], {"p"}) == {}
    assert tier.report().counts == {"disagreed": 1}


def test_an_empty_mask_is_not_used():
    tier = make_tier(ScriptedModel(answer=lambda image, box: np.zeros(image.shape[:2], np.bool_)))
    assert tier.improve(frame_at(0), [found(40, 40)], {"p"}) == {}


def test_masks_of_another_size_are_compared_at_that_size():
    half = replace(
        found(40, 40),
        mask=CropMask(np.ones((8, 10), np.bool_), 20, 20, MaskSpace.of(SIZE, (SIZE[0] // 2, SIZE[1] // 2))),
    )
    better = make_tier(ScriptedModel()).improve(frame_at(0), [half], {"p"})
    assert better[0].mask.crop.shape == (16, 20)


def test_the_surroundings_of_each_object():
    model = ScriptedModel(encode_ms=4.0)
    tier = make_tier(model, view="objects", budget_ms=10.0, objects="all")
    objects = [found(4 + 30 * n, 70, track_id=n) for n in range(3)]
    better = tier.improve(frame_at(0), objects, set())
    assert sorted(better) == [0, 1], "two runs of the encoder fit"
    assert [image.shape for image in model.encoded] == [(36, 35, 3), (36, 41, 3)]
    for position, one in better.items():
        assert one.mask.crop_box == objects[position].box


def test_a_slow_model_works_in_the_background():
    model, start = ScriptedModel(encode_ms=3000.0), ManualStart()
    tier = make_tier(model, budget_ms=20.0, start=start)
    image, objects = textured(), [found(4, 4)]
    for index in range(3):
        assert tier.improve(frame_at(index, image), objects, {"p"}) == {}
    assert len(start.waiting) == 1, "one frame at a time"
    start.run()
    assert set(tier.improve(frame_at(3, image), objects, {"p"})) == {0}, "nothing has moved"
    assert tier.improve(frame_at(4), objects, {"p"}) == {}, "it has moved"
    assert len(start.waiting) == 1
    tier.end_source("cam")
    start.run()
    assert tier.improve(frame_at(5), [], {"p"}) == {}, "the answer for a source that has ended is dropped"
    assert tier.report().state == "working"


@pytest.mark.parametrize("in_background", [False, True])
def test_a_model_that_fails_is_not_used_any_more(in_background: bool):
    start = ManualStart()
    model = ScriptedModel(encode_ms=3000.0 if in_background else 0.0)
    tier = make_tier(model, budget_ms=20.0, start=start)
    model.error = MemoryError("no memory for the model")
    for index in range(3):
        assert tier.improve(frame_at(index), [found(4, 4)], {"p"}) == {}
        start.run()
    model.error = None
    assert tier.improve(frame_at(3), [found(4, 4)], {"p"}) == {}
    assert tier.report().state == "failed"
    assert tier.report().error == "MemoryError: no memory for the model"


def test_a_model_that_fails_at_once_is_an_error_of_the_start():
    with pytest.raises(MemoryError):
        make_tier(ScriptedModel(error=MemoryError("no memory")))


@given(
    st.lists(
        st.tuples(st.floats(-10, 120), st.floats(-10, 90), st.floats(0, 60), st.floats(0, 50)),
        max_size=4,
    )
)
@settings(max_examples=25, deadline=None)
def test_any_boxes(boxes: list[tuple[float, float, float, float]]):
    for view in ("frame", "objects"):
        tier = make_tier(ScriptedModel(), view=view, objects="all")
        objects = []
        for number, (x, y, width, height) in enumerate(boxes):
            x0, y0 = min(max(x, 0), 127), min(max(y, 0), 95)
            x1, y1 = min(x0 + width, 128), min(y0 + height, 96)
            mask = CropMask.of(np.zeros(SIZE, np.bool_))
            objects.append(replace(found(0, 0), box=(x0, y0, x1, y1), mask=mask, track_id=number))
        tier.improve(frame_at(0), objects, set())
        assert tier.report().state == "working"
