"""What a frame's prompts and tracks tell the segmenter about the next one.

The network says far more than is kept of it. Who knows where an object was a moment ago, or that a user has drawn a
box around one, can find it where the picture alone would not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import BoxPrompt, Prompt, Selection, SpatialPrompt
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions

__all__ = ["GuidedSegmenter", "guide_of_answers", "guide_of_boxes"]


@runtime_checkable
class GuidedSegmenter(Protocol):
    """A segmenter that can be told where to look more closely, such as `Segmenter`."""

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> Sequence[Instances]:
        """Pictures uint8 (H, W, 3) RGB in, one Instances for each out."""

    def guided(self, images: Sequence[npt.NDArray[np.uint8]], guides: Sequence[SearchRegions]) -> Sequence[Instances]:
        """As when called, with one guide for each picture."""


def guide_of_boxes(prompts: Sequence[Prompt]) -> SearchRegions:
    """All boxes among the prompts about a picture that has no past; the others need no guide. P may be 0."""
    boxes = [prompt for prompt in prompts if isinstance(prompt, BoxPrompt)]
    return SearchRegions(_boxes(boxes)) if boxes else NO_REGIONS


def guide_of_answers(
    prompts: Sequence[Prompt],
    selections: Sequence[Selection],
    tracked: Tracked,
    *,
    place: Callable[[SpatialPrompt], SpatialPrompt] = lambda prompt: prompt,
) -> SearchRegions:
    """What prompts want of the next frame that the tracker does not know of, by their answers in this one.

    Args:
        prompts: P of them; 0 want nothing.
        selections: one for each, with a status but for those that ask for everything.
        tracked: the frame's instances.
        place: tells where a prompt is asked that nothing answers; by default where it says itself.

    Returns:
        The boxes that nothing has answered yet, and where those objects are that answer a prompt and have no identity.
    """
    unanswered: list[BoxPrompt] = []
    tentative: set[int] = set()
    for prompt, selection in zip(prompts, selections, strict=True):
        status = selection.status
        if status is None or status.track_id >= 0:
            continue
        if selection.rows:
            tentative.add(selection.rows[0])
        elif status.state == "none" and isinstance(prompt, BoxPrompt) and isinstance(asked := place(prompt), BoxPrompt):
            unanswered.append(asked)
    if not unanswered and not tentative:
        return NO_REGIONS
    return SearchRegions(_boxes(unanswered), tracked.instances.boxes[sorted(tentative)].double().numpy(force=True))


def _boxes(prompts: Sequence[BoxPrompt]) -> npt.NDArray[np.float64]:
    return np.array([prompt.box for prompt in prompts], dtype=np.float64).reshape(-1, 4)
