"""The quality tier in the pipeline, on the rendered scene with rough instances and a model that returns the truth."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import torch

from streamseg.pipeline import Pipeline
from streamseg.structures.arrays import Float32Array, ImageArray, MaskArray
from streamseg.structures.frame import Frame
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.structures.message import Message
from streamseg.structures.prompt import EverythingPrompt, PointPrompt
from streamseg.synthetic import SceneRenderer
from streamseg.tiers import Tiers
from streamseg.tiers.quality.tier import PromptableQualityTier
from tests.support.frames import make_frame
from tests.support.promptable import ScriptedModel
from tests.support.stages import AT_ONCE

CELL = 12
"""Side of the cells of the rough masks, pixels."""
NUM_FRAMES = 10


class Scene:
    """Frames of the scene, its truth by image, and a segmenter that finds every object roughly."""

    def __init__(self) -> None:
        renderer = SceneRenderer(320, 240, num_objects=3, seed=4, fps=15)
        self.frames: list[Frame] = []
        self.masks: dict[int, list[MaskArray]] = {}
        for index in range(NUM_FRAMES):
            frame = make_frame(index, image=renderer.render(index), fps=15)
            truth = renderer.truth(index)
            self.frames.append(frame)
            self.masks[id(frame.image)] = [
                mask.full(frame.size) for mask, is_part in zip(truth.masks, truth.is_part, strict=True) if not is_part
            ]

    def __call__(self, images: Sequence[ImageArray], regions: object = None) -> list[Instances]:
        return [self._rough(self.masks[id(image)]) for image in images]

    def truth(self, image: ImageArray, box: Float32Array) -> MaskArray:
        """The object whose box has the best overlap with a given one."""
        inside = np.zeros(image.shape[:2], np.bool_)
        if id(image) not in self.masks:  # the image by which the times are measured
            return inside
        x0, y0, x1, y1 = np.round(box).astype(int)
        inside[y0:y1, x0:x1] = True
        return max(self.masks[id(image)], key=lambda mask: iou(mask & inside, mask) * iou(inside, mask))

    @staticmethod
    def _rough(masks: list[MaskArray]) -> Instances:
        if not masks:
            return Instances.empty((240, 320))
        height, width = masks[0].shape
        size = (width // CELL, height // CELL)
        logits = [cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) - 0.5 for mask in masks]
        boxes = []
        for mask in masks:
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        scores = 0.9 - 0.01 * torch.arange(len(masks))
        grid = GridTransform(width / size[0], height / size[1], 0.0, 0.0)
        return Instances(torch.tensor(boxes).float(), scores, torch.tensor(np.array(logits)), grid, (height, width))


def iou(first: MaskArray, second: MaskArray) -> float:
    return np.count_nonzero(first & second) / max(np.count_nonzero(first | second), 1)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def run(scene: Scene, tiers: Tiers | None) -> tuple[list[Message], list[MaskArray]]:
    """Follow the largest object of the first frame; return the messages and the object's true masks."""
    first = scene.masks[id(scene.frames[0].image)]
    number = max(range(len(first)), key=lambda one: np.count_nonzero(first[one]))
    # In its middle, where the rough mask is, too.
    depth = cv2.distanceTransform(first[number].astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    prompts = [PointPrompt("p", ((float(x) + 0.5, float(y) + 0.5),), (1,)), EverythingPrompt()]
    pipeline = Pipeline(scene, tracking=AT_ONCE, prompts=prompts, tiers=tiers)
    messages = [message for frame in scene.frames for message in pipeline([frame])]
    truth = [first[number]]
    for frame in scene.frames[1:]:
        truth.append(max(scene.masks[id(frame.image)], key=lambda mask: iou(mask, truth[-1])))
    return messages, truth


def quality_of(messages: list[Message], truth: list[MaskArray]) -> float:
    """J of the followed prompt, the mean IoU over the frames."""
    found = [next(iter(message.of("p")), None) for message in messages]
    return float(
        np.mean([0.0 if one is None else iou(one.mask(), mask) for one, mask in zip(found, truth, strict=True)])
    )


def test_the_published_masks_are_those_of_the_model(scene: Scene):
    plain, truth = run(scene, None)
    assert 0.5 < quality_of(plain, truth) < 0.98
    tier = PromptableQualityTier(ScriptedModel(answer=scene.truth, quality=0.97), name="truth")
    messages, truth = run(scene, Tiers(quality=tier))
    assert quality_of(messages, truth) >= 0.95
    for message, frame in zip(messages, scene.frames, strict=True):
        (found,) = message.of("p")
        assert any((found.mask() == mask).all() for mask in scene.masks[id(frame.image)]), "pixel by pixel"
        status = message.prompt("p")
        assert status is not None
        assert (status.mask_source, status.mask_quality) == ("quality", pytest.approx(0.97))
        assert found.score == pytest.approx(0.97)
        assert found.box == found.mask.crop_box
    assert {one.track_id for message in messages for one in message.of("p")} == {messages[0].of("p")[0].track_id}
    assert tier.report().counts == {"improved": NUM_FRAMES}


def test_a_model_that_fails_leaves_the_run_as_it_is_without_it(scene: Scene):
    plain, truth = run(scene, None)
    model = ScriptedModel(answer=scene.truth)
    tier = PromptableQualityTier(model, name="broken")
    model.error = RuntimeError("CUDA out of memory")
    messages, _ = run(scene, Tiers(quality=tier))
    assert quality_of(messages, truth) == pytest.approx(quality_of(plain, truth))
    assert [status.mask_source for message in messages for status in message.prompts] == ["proposal"] * NUM_FRAMES
    assert tier.report().error == "RuntimeError: CUDA out of memory"


def test_over_budget_every_frame_is_published_with_the_masks_of_the_network(scene: Scene):
    tier = PromptableQualityTier(
        model := ScriptedModel(answer=scene.truth, encode_ms=50.0), name="slow", budget_ms=20.0, clock=model.clock
    )
    messages, _ = run(scene, Tiers(quality=tier))
    assert len(messages) == NUM_FRAMES
    assert {status.mask_source for message in messages for status in message.prompts} == {"proposal"}
    assert tier.report().counts == {"over_budget": NUM_FRAMES}


def test_reports_of_a_pipeline(scene: Scene):
    tier = PromptableQualityTier(ScriptedModel(), name="truth")
    pipeline = Pipeline(scene, tiers=Tiers(quality=tier))
    assert [report.tier for report in pipeline.tier_reports] == ["quality"]
    assert Pipeline(scene).tier_reports == ()
    pipeline.end_source("never seen")
