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

from streamseg.propagation import mask_iou
from streamseg.structures.frame import Frame
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.structures.message import MessageObject
from streamseg.tiers.contract import BetterMask, TierReport
from streamseg.tiers.guard import TierGuard
from streamseg.tiers.quality.budget import FrameBudget
from streamseg.tiers.quality.decoding import BoxDecoder, TimedMasks, View
from streamseg.tiers.quality.model import PromptableModel
from streamseg.tiers.quality.unchanged import Answers

__all__ = ["PendingMasks", "PromptableQualityTier", "StartMasks"]

MIN_AGREEMENT: Final = 0.5
"""Minimum IoU of a decoded mask with the mask that it replaces: below it, the model has segmented something else."""
BACKGROUND_OBJECTS: Final = 16
"""Maximum number of objects of one frame in the background."""


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
    answers: Answers = field(default_factory=Answers)


class PromptableQualityTier:
    """Quality tier with a promptable model.

    Args:
        model: the model. It is run some times, to measure how long it takes; what it raises then is raised by the
            constructor.
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
        view: View = "frame",
        start: StartMasks | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._decode = BoxDecoder(model, view=view, clock=clock)
        self._budget = FrameBudget(budget_ms, view)
        self._objects = objects
        self._every = every
        self._start = start
        self._guard = TierGuard("quality", name)
        self._sources: dict[str, _Source] = {}
        self._job: _Job | None = None
        for run in self._decode.warm_up():
            self._budget.add(run)

    def report(self) -> TierReport:
        """See `ReportsTier.report`."""
        return self._guard.report()

    def end_source(self, source_id: str) -> None:
        """See `QualityTier.end_source`."""
        self._sources.pop(source_id, None)

    def expected_ms(self, num_objects: int) -> float:
        """Return the expected time of one frame with so many objects, 1 or more, in the foreground."""
        return self._budget.expected_ms(num_objects)

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
        num_fresh = self._budget.num_fitting(len(chosen)) if is_due and self._job is None else 0
        fresh, later = chosen[:num_fresh], chosen[num_fresh:]
        masks = self._measured(self._decode(frame.image, [objects[one].box for one in fresh]))
        decoded = dict(zip(fresh, masks, strict=True))
        better = self._agreeing(decoded, objects)
        for position, found in better.items():
            source.answers.remember(objects[position], found, frame.image)
        missing = []
        for position in later:
            answer = source.answers.valid(objects[position], frame.image)
            if answer is not None:
                better[position] = answer
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

    def _measured(self, decoded: TimedMasks) -> list[BetterMask]:
        """Add the times to the expectations, and return the masks."""
        self._budget.add(decoded)
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
        if self._start is None or self._job is not None or not self._budget.never_fits:
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
            source.answers.remember(job.objects[position], better, job.frame.image)


def _agreement(mask: CropMask, better: CropMask) -> float:
    """Return the IoU of a published mask, in its mask space, with a mask at the size of the image."""
    space = mask.space
    if space is None or space.size == space.image_size:
        return mask_iou(mask, better)
    # Both in the pixels of the mask space.
    plain = MaskSpace.of(space.size)
    return mask_iou(replace(mask, space=plain), CropMask.of(better(space.size)))
