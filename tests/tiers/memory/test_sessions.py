"""Streaming sessions against transformers' own, and their bounded memory; small random models."""

from typing import Any

import numpy as np
import pytest
import torch

from streamseg.structures.arrays import MaskArray
from streamseg.tiers.memory.loading import video_model
from streamseg.tiers.memory.sessions import (
    MAX_CORRECTIONS,
    SessionMemory,
    SessionVideoModel,
    _model_mask,
    _seen,
    pixel_values,
)
from streamseg.tiers.model_folder import IMAGENET_MEAN, IMAGENET_STD
from tests.support.video_models import SIZE, film, transformers_video_model

KINDS = ("sam2_video", "edgetam_video")
NUM_FRAMES = 30


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> SessionVideoModel:
    return video_model(transformers_video_model(request.param))


def whole_video(model: SessionVideoModel, images: list[Any], masks: dict[int, MaskArray]) -> list[torch.Tensor]:
    """Return the logits (h, w) of each frame from transformers' session of a whole video; masks by frame."""
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    video = torch.cat([pixel_values(image, SIZE, mean, std) for image in images])
    session = model.session_type(
        video=video, video_height=images[0].shape[0], video_width=images[0].shape[1], dtype=torch.float32
    )
    index = session.obj_id_to_idx(7)
    for frame, mask in masks.items():
        session.add_mask_inputs(index, frame, _model_mask(mask, SIZE))
        session.obj_with_new_inputs = [7]
        model.model(inference_session=session, frame_idx=frame)
    return [found.pred_masks[0, 0] for found in model.model.propagate_in_video_iterator(session)]


def bits(seen: Any) -> MaskArray:
    return seen.mask()


@pytest.mark.slow
def test_a_stream_equals_the_session_of_a_whole_video(model: SessionVideoModel):
    images, masks = film(NUM_FRAMES)
    expected = whole_video(model, images, {0: masks[0]})
    memory = model.open_object()
    memory.learn(model.encode(images[0]), masks[0])
    areas = set()
    for frame in range(1, NUM_FRAMES):
        features = model.encode(images[frame])
        logits: list[torch.Tensor] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "streamseg.tiers.memory.sessions._seen",
                lambda given, presence, size: logits.append(given) or _seen(given, presence, size),  # noqa: B023
            )
            seen = memory.find(features)
        torch.testing.assert_close(logits[0], expected[frame], rtol=1e-4, atol=1e-4)
        areas.add(seen.mask.area)
    assert len(areas) > NUM_FRAMES // 2, "the masks must differ, or equality says little"


@pytest.mark.slow
def test_objects_come_and_go_without_an_effect_on_others(model: SessionVideoModel):
    images, masks = film(16)
    alone = model.open_object()
    alone.learn(model.encode(images[0]), masks[0])
    expected = [alone.find(model.encode(image)) for image in images[1:]]
    first, second = model.open_object(), None
    features = model.encode(images[0])
    first.learn(features, masks[0])
    for frame, image in enumerate(images[1:], start=1):
        features = model.encode(image)
        if frame == 4:
            second = model.open_object()
            second.learn(features, ~masks[frame])
        elif frame == 9:
            second = None
        elif second is not None:
            second.find(features)
        seen = first.find(features)
        np.testing.assert_array_equal(bits(seen), bits(expected[frame - 1]))
        assert seen.presence == expected[frame - 1].presence


@pytest.mark.slow
def test_the_memory_is_bounded_over_300_frames(model: SessionVideoModel):
    images, masks = film(2)
    # Two images in turn: only the sessions count here, not the encoder.
    features = [model.encode(image) for image in images]
    memory = model.open_object()
    memory.learn(features[0], masks[0])
    sizes = []
    for frame in range(1, 300):
        if frame % 25 == 0:
            memory.learn(features[frame % 2], masks[frame % 2])
        else:
            memory.find(features[frame % 2])
        sizes.append((memory.num_bytes(), num_entries(vars(memory._session))))
    full = 25 * (MAX_CORRECTIONS + 1)
    assert max(size for size, _ in sizes[full:]) <= max(size for size, _ in sizes[:full])
    assert max(count for _, count in sizes[full:]) <= max(count for _, count in sizes[:full])


def num_entries(value: Any) -> int:
    """Return the number of entries in nested dictionaries and lists."""
    if isinstance(value, dict):
        return len(value) + sum(num_entries(one) for one in value.values())
    return len(value) + sum(num_entries(one) for one in value) if isinstance(value, list) else 0


@pytest.mark.slow
def test_a_correction_replaces_what_was_found_in_the_same_frame(model: SessionVideoModel):
    images, masks = film(6)
    corrected, direct = model.open_object(), model.open_object()
    for memory in (corrected, direct):
        memory.learn(model.encode(images[0]), masks[0])
        memory.find(model.encode(images[1]))
    features = model.encode(images[2])
    corrected.find(features)
    corrected.learn(features, masks[2])
    direct.learn(features, masks[2])
    for image in images[3:]:
        features = model.encode(image)
        np.testing.assert_array_equal(bits(corrected.find(features)), bits(direct.find(features)))


@pytest.mark.slow
def test_the_first_mask_and_the_latest_corrections_are_kept(model: SessionVideoModel):
    images, masks = film(3)
    features = [model.encode(image) for image in images]
    memory = model.open_object()
    for frame in range(8):
        memory.learn(features[frame % 3], masks[frame % 3])
    assert sorted(memory._outputs("cond_frame_outputs")) == [0, 5, 6, 7]


def test_a_memory_without_a_mask_finds_nothing(model: SessionVideoModel):
    images, _ = film(1)
    with pytest.raises(ValueError, match="must learn a mask"):
        SessionMemory(model).find(model.encode(images[0]))


def test_the_image_is_prepared_as_by_the_processor():
    pytest.importorskip("torchvision", reason="transformers' processor of SAM 2 needs torchvision")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: tiers)")
    images, _ = film(1, height=123, width=211)
    expected = transformers.Sam2ImageProcessor(size={"height": SIZE, "width": SIZE})(images[0], return_tensors="pt")
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    prepared = pixel_values(images[0], SIZE, mean, std)
    torch.testing.assert_close(prepared, expected["pixel_values"], rtol=0, atol=1e-5)


def test_masks_are_enlarged_as_by_the_processor():
    pytest.importorskip("torchvision", reason="transformers' processor of SAM 2 needs torchvision")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: tiers)")
    logits = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    expected = transformers.Sam2ImageProcessor().post_process_masks([logits[None, None]], [[90, 120]])[0][0, 0]
    np.testing.assert_array_equal(_seen(logits, 1.0, (90, 120)).mask(), expected.numpy())


@pytest.mark.parametrize("area", [pytest.param((20, 30), id="large"), pytest.param((1, 1), id="one-pixel")])
def test_a_given_mask_is_never_empty(area: tuple[int, int]):
    mask = np.zeros((900, 1200), np.bool_)
    mask[450 : 450 + area[0], 600 : 600 + area[1]] = True
    given = _model_mask(mask, 64)
    assert given.shape == (1, 1, 64, 64)
    assert set(given.unique().tolist()) == {0.0, 1.0}
    assert given[0, 0, 32, 32] == 1


@pytest.mark.parametrize(
    ("logits", "area", "quality"),
    [
        pytest.param([[5.0, 5.0], [5.0, 5.0]], 4, 0.9, id="certain"),
        pytest.param([[5.0, 0.5], [-5.0, -5.0]], 2, 0.45, id="half-of-it-unstable"),
        pytest.param([[-5.0, -5.0], [-5.0, -5.0]], 0, 0.0, id="nothing"),
    ],
)
def test_quality_is_presence_times_stability(logits: list[list[float]], area: int, quality: float):
    seen = _seen(torch.tensor(logits), 0.9, (2, 2))
    assert seen.mask.area == area
    assert seen.quality == pytest.approx(quality)
