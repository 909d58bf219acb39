"""Why a frame is worth labelling: a followed object was lost, uncertain, corrected by a click, or removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeGuard

from streamseg.datasets.writers.base import image_objects
from streamseg.pipeline import FrameResult
from streamseg.pipeline.stream import SourceTime
from streamseg.structures.frame import Frame
from streamseg.structures.mask import CropMask
from streamseg.structures.message import POSSIBLY_LOST_CONFIDENCE, Message, PromptStatus
from streamseg.structures.prompt import BoxPrompt, MaskPrompt, PointPrompt, Prompt, SpatialPrompt

__all__ = ["Occasion", "OccasionFinder", "Reason"]

Reason = Literal["lost", "uncertain", "corrected", "removed"]
"""Why a frame is saved.

lost         the object of a prompt is not visible any more; the mask is that of the last frame in which it was
uncertain    its mask is more likely wrong than right, or it is possibly another object
corrected    somebody changed its prompt: a further point, another box, the next candidate; the mask is the first one
             after that
removed      somebody removed its prompt while the object was visible; the frame and the mask are the last with it
"""

MIN_CLICK_SECONDS: Final = 0.5
"""Changes of one prompt that follow each other faster are no clicks: a program moves its box with each frame."""
PENDING_SECONDS: Final = 2.0
"""Time after a click in which its mask is waited for. Some frames after it, the search for an object ends."""
CONFIRM_SECONDS: Final = 3.0
"""Time that a corrected mask must stand without another click to count as right: people click again while it is not."""


@dataclass(frozen=True, eq=False)
class Occasion:
    """One prompt in one frame that is worth labelling."""

    reason: Reason
    frame: Frame
    prompt: SpatialPrompt
    """The prompt in force, or the removed one, in pixels of the frame that its sender saw."""
    status: PromptStatus
    """Its status in the frame, for a removed one in the last frame before."""
    mask: CropMask | None
    """Mask at the size of the frame; None if nothing was found at the place of a correction."""
    mask_frame_index: int
    """Index of the frame that the mask is from."""
    before: SpatialPrompt | None = None
    """The prompt before it was corrected."""
    is_confirmed: bool = False
    """Whether the mask is that of a correction, is not uncertain, and stood for `CONFIRM_SECONDS`."""


@dataclass(frozen=True)
class _Click:
    """A correction that waits for its mask, or for what its author thinks of it."""

    before: SpatialPrompt
    since_seconds: float
    occasion: Occasion | None = None


class OccasionFinder:
    """Finds the occasions of one source, frame by frame; frames may be missing. Only prompts that follow count.

    Between two frames it holds the image and the message of the last one, if one of its prompts was visible, and those
    of corrections for `CONFIRM_SECONDS`.

    Args:
        interval_seconds: minimum time between two occasions of one prompt without a click.
        uncertain_below: expected IoU of a mask below which it is uncertain, 0..1.
    """

    def __init__(self, *, interval_seconds: float, uncertain_below: float) -> None:
        self._interval_seconds = interval_seconds
        self._uncertain_below = uncertain_below
        self._time = SourceTime()
        self._prompts: Mapping[str, SpatialPrompt] = {}
        self._last: tuple[Frame, Message] | None = None
        self._clicks: dict[str, _Click] = {}
        self._changed_seconds: dict[str, float] = {}
        self._saved_seconds: dict[str, float] = {}

    def update(self, result: FrameResult) -> list[Occasion]:
        """Return the occasions that are known with the next frame; corrections and removals are in frames before it."""
        seconds = self._time.at(result.frame)
        prompts = {one.prompt_id: one for one in result.prompts if _is_followed(one)}
        found = [*self._removed(prompts), *self._changed(prompts, seconds)]
        self._prompts = prompts
        for name, prompt in prompts.items():
            status = result.message.prompt(name)
            if status is None:
                continue
            if name in self._clicks:
                found.append(self._clicked(result, prompt, status, seconds))
            elif seconds - self._saved_seconds.get(name, -self._interval_seconds) >= self._interval_seconds:
                found.append(self._unclicked(result, prompt, status, seconds))
        is_needed = any(_is_visible(result.message, name) for name in prompts)
        self._last = (result.frame, result.message) if is_needed else None
        return [one for one in found if one is not None]

    def end(self) -> list[Occasion]:
        """Return the corrections that are not confirmed yet; call it after the last frame."""
        held = [click.occasion for click in self._clicks.values() if click.occasion is not None]
        self._clicks.clear()
        return held

    def _removed(self, prompts: Mapping[str, SpatialPrompt]) -> list[Occasion | None]:
        """Return the occasions of prompts that are not in force any more, and forget these prompts."""
        found: list[Occasion | None] = []
        for name, prompt in self._prompts.items():
            if name in prompts:
                continue
            found.append(self._interrupted(name))
            if self._last is not None:
                frame, message = self._last
                status, mask = message.prompt(name), _mask_of(message, name)
                if status is not None and mask is not None:
                    found.append(Occasion("removed", frame, prompt, status, mask, frame.index))
            self._changed_seconds.pop(name, None)
            self._saved_seconds.pop(name, None)
        return found

    def _changed(self, prompts: Mapping[str, SpatialPrompt], seconds: float) -> list[Occasion | None]:
        """Note the prompts that were changed, and return corrections that were corrected again."""
        found = []
        for name, prompt in prompts.items():
            before = self._prompts.get(name)
            if before is None or not _is_changed(before, prompt):
                continue
            found.append(self._interrupted(name))
            last = self._changed_seconds.get(name)
            self._changed_seconds[name] = seconds
            if last is None or seconds - last >= MIN_CLICK_SECONDS:
                self._clicks[name] = _Click(before, seconds)
        return found

    def _interrupted(self, name: str) -> Occasion | None:
        """Forget a correction; return its occasion if its mask has been seen: it was not right."""
        click = self._clicks.pop(name, None)
        return None if click is None else click.occasion

    def _clicked(
        self, result: FrameResult, prompt: SpatialPrompt, status: PromptStatus, seconds: float
    ) -> Occasion | None:
        """Return the occasion of a correction once it is confirmed, or once nothing was found for too long."""
        name, click = prompt.prompt_id, self._clicks[prompt.prompt_id]
        self._saved_seconds[name] = seconds  # what happens to the prompt meanwhile is no occasion of its own
        if click.occasion is not None:
            if seconds - click.since_seconds < CONFIRM_SECONDS:
                return None
            del self._clicks[name]
            return replace(click.occasion, is_confirmed=not self._is_uncertain(click.occasion.status))
        frame = result.frame
        mask = _mask_of(result.message, name) if _is_visible(result.message, name) else None
        occasion = Occasion("corrected", frame, prompt, status, mask, frame.index, click.before)
        if mask is not None:
            self._clicks[name] = _Click(click.before, seconds, occasion)
            return None
        if seconds - click.since_seconds < PENDING_SECONDS:
            return None
        del self._clicks[name]
        return occasion

    def _unclicked(
        self, result: FrameResult, prompt: SpatialPrompt, status: PromptStatus, seconds: float
    ) -> Occasion | None:
        """Return the occasion of a prompt that nobody touched; None if there is none."""
        frame, message, name = result.frame, result.message, prompt.prompt_id
        reason: Reason
        if _is_visible(message, name) and self._is_uncertain(status):
            reason, mask, index = "uncertain", _mask_of(message, name), frame.index
        elif status.state == "lost" and self._last is not None and self._last[0].size == frame.size:
            reason, mask, index = "lost", _mask_of(self._last[1], name), self._last[0].index
        else:
            return None
        if mask is None:
            return None
        self._saved_seconds[name] = seconds
        return Occasion(reason, frame, prompt, status, mask, index)

    def _is_uncertain(self, status: PromptStatus) -> bool:
        if status.mask_quality is not None and status.mask_quality < self._uncertain_below:
            return True
        return status.track_id >= 0 and status.confidence < POSSIBLY_LOST_CONFIDENCE


def _is_followed(prompt: Prompt) -> TypeGuard[SpatialPrompt]:
    return isinstance(prompt, PointPrompt | BoxPrompt | MaskPrompt) and prompt.follow


def _is_changed(before: SpatialPrompt, prompt: SpatialPrompt) -> bool:
    """Return whether a prompt was changed, not only sent again from another frame."""
    return before is not prompt and replace(before, frame_index=None) != replace(prompt, frame_index=None)


def _is_visible(message: Message, prompt_id: str) -> bool:
    status = message.prompt(prompt_id)
    return status is not None and status.state in ("bound", "reacquired")


def _mask_of(message: Message, prompt_id: str) -> CropMask | None:
    """Return the mask of a prompt's object at the size of the image; None if it is not visible, or smaller than one."""
    objects = message.of(prompt_id)[:1]
    masks = [one.mask for one in image_objects(replace(message, objects=objects))]
    return masks[0] if masks and masks[0].area else None
