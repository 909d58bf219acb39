"""The quality tier: which objects are decoded in which frame, so that no frame is delayed by more than the budget.

An object gets, in this order: a mask decoded in this frame, if the frame's turn has come and the expected time fits
into the budget; the mask decoded in an older frame, while its surroundings look the same (`unchanged`); nothing, and
keeps the mask of the network.

A model whose encoder alone exceeds the budget works in the background, on one frame after another; its answers arrive
frames or seconds later. They are never moved to where an object is now. They are used while nothing has moved, as on a
fixed camera, and dropped otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol

import numpy as np

from streamseg.propagation import mask_iou
from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Frame
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.structures.message import MessageObject
from streamseg.tiers.contract import BetterMask, TierReport
from streamseg.tiers.costs import StageCosts
from streamseg.tiers.guard import TierGuard
from streamseg.tiers.quality.decoded import decoded_masks
from streamseg.tiers.quality.model import PromptableModel, Queries
from streamseg.tiers.quality.unchanged import Answer, Box

__all__ = ["PendingMasks", "PromptableQualityTier", "StartMasks", "TimedMasks"]

MIN_AGREEMENT: Final = 0.5
"""Minimum IoU of a decoded mask with the mask that it replaces: below it, the model has segmented something else."""
CROP_MARGIN: Final = 0.5
"""Margin of the crop around an object, as a fraction of the longer side of its box, with `view: objects`."""
BACKGROUND_OBJECTS: Final = 16
"""Maximum number of objects of one frame in the background."""
MAX_ANSWERS: Final = 256
"""Number of answers that a source remembers; more are forgotten, the oldest first."""
WARMUP_BATCHES: Final = (1, 4)
"""Numbers of boxes whose times are measured before the first frame."""

Key = int | tuple[str, ...]
"""Identity of an object between frames: its track id or, without one, the ids of its prompts."""


@dataclass(frozen=True)
class TimedMasks:
    """Decoded masks, and how long they took."""

    masks: list[BetterMask]
    """One per box; it may be empty."""
    times: list[tuple[str, float, int]]
    """Stage, milliseconds and units of each measurement, see `StageCosts.add`."""


class PendingMasks(Protocol):
    """Masks that are being decoded in the background."""

    def done(self) -> bool:
        """Return whether `result` returns at once."""
        ...

    def result(self) -> TimedMasks:
        """Return one mask per object; raises the exception of the model."""
        ...


StartMasks = Callable[[Callable[[], TimedMasks]], PendingMasks]
"""Starts decoding in the background."""


@dataclass(frozen=True)
class _Job:
    """The objects of one frame in the background."""

    pending: PendingMasks
    frame: Frame
    objects: list[MessageObject]


@dataclass(eq=False)
class _Source:
    """What is known of one source."""

    num_frames: int = 0
    answers: dict[Key, Answer] = field(default_factory=dict)


class PromptableQualityTier:
    """Quality tier with a promptable model.

    Args:
        model: the model. It is run once for each of `WARMUP_BATCHES`, to measure its times; what it raises then is
            raised by the constructor.
        name: its name, as configured.
        objects: `prompted` objects only, or `all`, the prompted ones first.
        every: use the model in every n-th frame of a source.
        budget_ms: maximum expected time per frame; None: no limit, for single images and recordings.
        view: input of the model: the whole `frame`, or the surroundings of each of the `objects`.
        start: decodes in the background, for models slower than the budget; None: those are never used.
        clock: clock in ns, by which the times are measured.
    """

    def __init__(
        self,
        model: PromptableModel,
        *,
        name: str,
        objects: Literal["prompted", "all"] = "prompted",
        every: int = 1,
        budget_ms: float | None = None,
        view: Literal["frame", "objects"] = "frame",
        start: StartMasks | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._model = model
        self._objects = objects
        self._every = every
        self._budget_ms = budget_ms
        self._view = view
        self._start = start
        self._clock = clock
        self._guard = TierGuard("quality", name)
        self._costs = StageCosts()
        self._sources: dict[str, _Source] = {}
        self._job: _Job | None = None
        self._warm_up()

    def report(self) -> TierReport:
        """See `ReportsTier.report`."""
        return self._guard.report()

    def end_source(self, source_id: str) -> None:
        """See `QualityTier.end_source`."""
        self._sources.pop(source_id, None)

    def expected_ms(self, num_objects: int) -> float:
        """Return the expected time of one frame with so many objects, 1 or more, in the foreground."""
        encode, decode = self._costs.expected("encode") or 0.0, self._decode_ms(num_objects)
        num_images = num_objects if self._view == "objects" else 1
        return num_images * encode + num_objects * decode

    def improve(
        self, frame: Frame, objects: Sequence[MessageObject], prompted: Collection[str]
    ) -> Mapping[int, BetterMask]:
        """See `QualityTier.improve`."""
        better = self._guard.call(lambda: self._improve(frame, objects, prompted))
        return better if better is not None else {}

    def _improve(
        self, frame: Frame, objects: Sequence[MessageObject], prompted: Collection[str]
    ) -> dict[int, BetterMask]:
        self._collect()
        chosen = self._chosen(objects, prompted)
        source = self._sources.setdefault(frame.source_id, _Source())
        is_due = source.num_frames % self._every == 0
        source.num_frames += 1
        if not chosen:
            return {}
        num_fresh = self._num_fitting(len(chosen)) if is_due and self._job is None else 0
        fresh, later = chosen[:num_fresh], chosen[num_fresh:]
        masks = self._measured(self._decode(frame.image, [objects[one].box for one in fresh]))
        decoded = dict(zip(fresh, masks, strict=True))
        better = self._agreeing(decoded, objects)
        for position, found in better.items():
            _remember(source, objects[position], Answer(found, objects[position].box, frame.image))
        missing = []
        for position in later:
            answer = source.answers.get(_key(objects[position]))
            if answer is not None and answer.is_valid(frame.image, objects[position].box):
                better[position] = answer.better
                self._guard.count("unchanged")
            else:
                missing.append(position)
        self._guard.count("improved", len(better) - (len(later) - len(missing)))
        if is_due:
            self._guard.count("over_budget", len(missing))
        else:
            self._guard.count("not_due", len(missing))
        if missing and not num_fresh:
            self._start_job(frame, [objects[one] for one in missing])
        return better

    def _chosen(self, objects: Sequence[MessageObject], prompted: Collection[str]) -> list[int]:
        """Return the positions of the objects to improve: the prompted ones first, then those known longest."""
        ranked = []
        for position, one in enumerate(objects):
            is_prompted = any(prompt_id in prompted for prompt_id in one.prompt_ids)
            x0, y0, x1, y1 = one.box
            if (is_prompted or self._objects == "all") and x1 > x0 and y1 > y0:
                # A stable order: the same objects are improved in each frame if not all fit.
                ranked.append((not is_prompted, one.track_id < 0, one.track_id, position))
        return [position for *_, position in sorted(ranked)]

    def _num_fitting(self, num_objects: int) -> int:
        """Return how many objects fit into the budget in this frame."""
        if self._budget_ms is None:
            return num_objects
        for count in range(num_objects, 0, -1):
            if self.expected_ms(count) <= self._budget_ms:
                return count
        self._costs.skipped("encode", *(f"decode{power}" for power in range(1, num_objects.bit_length() + 1)))
        return 0

    def _decode_ms(self, num_objects: int) -> float:
        """Return the expected time per object of a batch, by the nearest power of two that was measured."""
        for power in range(num_objects.bit_length(), 0, -1):
            expected = self._costs.expected(f"decode{power}")
            if expected is not None:
                return expected
        return 0.0

    def _decode(self, image: ImageArray, boxes: Sequence[Box]) -> TimedMasks:
        """Return one mask per box; called in the background, too, and so without a change of the tier."""
        if not boxes:
            return TimedMasks([], [])
        if self._view == "frame":
            return self._decode_view(image, boxes)
        size = (image.shape[0], image.shape[1])
        found = TimedMasks([], [])
        for box in boxes:
            left, top, right, bottom = _crop_around(box, size)
            moved = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
            one = self._decode_view(np.ascontiguousarray(image[top:bottom, left:right]), [moved])
            (better,) = one.masks
            placed = CropMask(better.mask.crop, better.mask.x + left, better.mask.y + top, MaskSpace.of(size))
            found.masks.append(BetterMask(placed, better.quality))
            found.times.extend(one.times)
        return found

    def _decode_view(self, image: ImageArray, boxes: Sequence[Box]) -> TimedMasks:
        started = self._clock()
        embedding = self._model.encode(image)
        encoded = self._clock()
        decoded = self._model.decode(embedding, Queries.of_boxes(boxes))
        masks = decoded_masks(decoded, (image.shape[0], image.shape[1]))
        decode_ms = (self._clock() - encoded) / 1e6
        stage = f"decode{len(boxes).bit_length()}"
        return TimedMasks(masks, [("encode", (encoded - started) / 1e6, 1), (stage, decode_ms, len(boxes))])

    def _measured(self, decoded: TimedMasks) -> list[BetterMask]:
        """Add the times to the costs, and return the masks."""
        for stage, milliseconds, units in decoded.times:
            self._costs.add(stage, milliseconds, units)
        return decoded.masks

    def _agreeing(self, decoded: Mapping[int, BetterMask], objects: Sequence[MessageObject]) -> dict[int, BetterMask]:
        """Return the masks that show the object which they are to replace."""
        agreeing = {}
        for position, better in decoded.items():
            if better.mask.area and _agreement(objects[position].mask, better.mask) >= MIN_AGREEMENT:
                agreeing[position] = better
        self._guard.count("disagreed", len(decoded) - len(agreeing))
        return agreeing

    def _start_job(self, frame: Frame, objects: list[MessageObject]) -> None:
        """Start the background if it is idle and the encoder alone exceeds the budget."""
        encode = self._costs.expected("encode")
        if self._start is None or self._job is not None or self._budget_ms is None or encode is None:
            return
        if encode <= self._budget_ms:
            return
        taken = objects[:BACKGROUND_OBJECTS]
        boxes = [one.box for one in taken]
        self._job = _Job(self._start(lambda: self._decode(frame.image, boxes)), frame, taken)

    def _collect(self) -> None:
        """Remember the answers of the background, if they have arrived."""
        job = self._job
        if job is None or not job.pending.done():
            return
        self._job = None
        masks = self._measured(job.pending.result())
        source = self._sources.get(job.frame.source_id)
        if source is None:
            return
        decoded = self._agreeing(dict(enumerate(masks)), job.objects)
        for position, better in decoded.items():
            _remember(source, job.objects[position], Answer(better, job.objects[position].box, job.frame.image))

    def _warm_up(self) -> None:
        """Measure the times on an image of noise; the first run, which is slower, does not count."""
        image = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
        boxes: list[Box] = [(320.0, 180.0, 960.0, 540.0)]
        self._decode_view(image, boxes)
        for count in WARMUP_BATCHES:
            self._measured(self._decode_view(image, boxes * count))


def _key(found: MessageObject) -> Key:
    return found.track_id if found.track_id >= 0 else found.prompt_ids


def _remember(source: _Source, found: MessageObject, answer: Answer) -> None:
    key = _key(found)
    source.answers.pop(key, None)
    source.answers[key] = answer
    while len(source.answers) > MAX_ANSWERS:
        del source.answers[next(iter(source.answers))]


def _crop_around(box: Box, image_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the crop (left, top, right, bottom) of at least one pixel around a box, within the image (H, W)."""
    height, width = image_size
    margin = CROP_MARGIN * max(box[2] - box[0], box[3] - box[1])
    left, top = min(max(int(box[0] - margin), 0), width - 1), min(max(int(box[1] - margin), 0), height - 1)
    right, bottom = min(int(box[2] + margin + 1), width), min(int(box[3] + margin + 1), height)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _agreement(mask: CropMask, better: CropMask) -> float:
    """Return the IoU of a published mask, in its mask space, with a mask at the size of the image."""
    space = mask.space
    if space is None or space.size == space.image_size:
        return mask_iou(mask, better)
    # Both in the pixels of the mask space.
    plain = MaskSpace.of(space.size)
    return mask_iou(replace(mask, space=plain), CropMask.of(better(space.size)))
