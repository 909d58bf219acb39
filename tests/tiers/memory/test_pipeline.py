"""The memory tier in a pipeline on the rendered scene: coarse instances, and a video model that returns the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from streamseg.pipeline import Pipeline
from streamseg.propagation import mask_iou
from streamseg.structures.arrays import ImageArray, MaskArray
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.structures.message import Message
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt
from streamseg.structures.search_regions import SearchRegions
from streamseg.synthetic import SceneRenderer
from streamseg.tiers import Tiers
from streamseg.tiers.memory import Seen, SessionMemoryTier
from tests.support.frames import make_frame
from tests.support.tracked_shapes import scene_frame

SCENE = SceneRenderer(160, 120, num_objects=3, seed=1)
NUM_FRAMES = 12
MISSED = range(5, 8)
"""Frames in which the network finds nothing."""


class Coarse:
    """A segmenter whose masks are the objects' boxes."""

    def __init__(self) -> None:
        self.index = -1

    def __call__(self, images: Sequence[ImageArray], regions: Sequence[SearchRegions] | None = None) -> list[Instances]:
        self.index += 1
        instances = scene_frame(SCENE.truth(self.index)).instances
        if self.index in MISSED:
            return [Instances.empty(instances.image_size)]
        logits = torch.full_like(instances.mask_logits, -6.0)
        for row, (x0, y0, x1, y1) in enumerate(instances.boxes.round().int().tolist()):
            logits[row, y0:y1, x0:x1] = 6.0
        return [Instances(instances.boxes, instances.scores, logits, instances.grid_to_image, instances.image_size)]


class TruthVideo:
    """A video model that knows the scene; features are the number of the frame."""

    def __init__(self) -> None:
        self.index = -1

    def encode(self, image: ImageArray) -> int:
        found = [index for index in range(NUM_FRAMES) if np.array_equal(SCENE.render(index), image)]
        return found[0]

    def open_object(self) -> TruthMemory:
        return TruthMemory()


class TruthMemory:
    def __init__(self) -> None:
        self.identity: int | None = None

    def learn(self, features: int, mask: MaskArray) -> None:
        truth = SCENE.truth(features)
        given = CropMask.of(mask)
        ious = [mask_iou(given, one) for one in truth.masks]
        self.identity = int(truth.track_ids[int(np.argmax(ious))])

    def find(self, features: int) -> Seen:
        truth = SCENE.truth(features)
        rows = np.flatnonzero(truth.track_ids == self.identity)
        if not len(rows):
            return Seen(CropMask.of(np.zeros((120, 160), np.bool_)), 0.0, 0.0)
        return Seen(CropMask.of(truth.masks[rows[0]]()), 0.97, 0.95)


def messages(tiers: Tiers) -> tuple[int, list[Message]]:
    """Return the identity of the prompted object, and the messages of a run."""
    truth = SCENE.truth(0)
    row = int(np.argmax([mask.area for mask in truth.masks]))
    x0, y0, x1, y1 = truth.boxes[row].tolist()
    prompts = [BoxPrompt("target", (x0, y0, x1, y1)), EverythingPrompt()]
    pipeline = Pipeline(Coarse(), prompts=prompts, tiers=tiers)
    frames = [make_frame(index, image=SCENE.render(index)) for index in range(NUM_FRAMES)]
    return int(truth.track_ids[row]), [pipeline([frame])[0] for frame in frames]


def overlaps(identity: int, found: list[Message]) -> list[float]:
    """Return J, the IoU of the target's published mask with the truth, frame by frame."""
    values = []
    for index, message in enumerate(found):
        truth = SCENE.truth(index)
        mask = truth.masks[int(np.flatnonzero(truth.track_ids == identity)[0])]
        objects = message.of("target")
        values.append(mask_iou(objects[0].mask, CropMask.of(mask())) if objects else 0.0)
    return values


def test_the_memorys_masks_are_published_and_bridge_what_the_network_misses():
    tier = SessionMemoryTier(TruthVideo(), name="truth")
    identity, found = messages(Tiers(memory=tier))
    sources = [status.mask_source for message in found for status in message.prompts]
    assert sources == ["proposal"] + ["memory"] * (NUM_FRAMES - 1)
    values = overlaps(identity, found)
    assert min(values[1:]) == 1.0, "the published masks are the model's"
    assert np.mean(values) >= 0.95
    assert tier.report().counts == {"started": 1, "followed": NUM_FRAMES - 1}
    (status,) = {(message.prompts[0].state, message.prompts[0].track_id) for message in found[4:]}
    assert status[0] == "bound"
    assert status[1] >= 0


def test_without_the_tier_they_are_coarse_and_missing():
    identity, found = messages(Tiers())
    values = overlaps(identity, found)
    assert max(values) < 0.9
    assert values[MISSED[0]] == 0.0
