"""How a prompt stands, and its answer in one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from streamseg.prompting.target import Binding
from streamseg.structures.instances import TENTATIVE
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Selection

__all__ = ["answer", "status_of"]

TENTATIVE_CONFIDENCE: Final = 0.5
"""Of an object that was seen too briefly to be given an identity: many of those are gone in the next frame."""
WHOLE_CONFIDENCE: Final = 0.5
"""Of what answers for its part: the object is there, but the answer is larger."""


def status_of(selection: Selection, track_ids: Sequence[int]) -> Selection:
    """The same with a status, for a prompt that is asked anew in each frame; its confidence is its best score."""
    if not selection.rows:
        return replace(selection, status=PromptStatus(selection.prompt_id, "none"))
    # What is merged from several objects has no identity.
    track_id = track_ids[selection.rows[0]] if selection.mask is None else TENTATIVE
    confidence = min(max(max(selection.scores), 0.0), 1.0)
    return replace(selection, status=PromptStatus(selection.prompt_id, "bound", confidence, track_id))


def answer(prompt_id: str, binding: Binding, row: int) -> Selection:
    """The answer of a prompt that follows: the row of its object, -1 where that is not seen, and how it stands."""
    candidate = binding.candidate
    if candidate is None:
        return Selection(prompt_id, (), (), status=PromptStatus(prompt_id, "none"))
    if row >= 0 and binding.whole_id >= 0:
        confidence = WHOLE_CONFIDENCE * binding.confidence
        status = PromptStatus(prompt_id, "bound", confidence, binding.whole_id)
        return Selection(prompt_id, (row,), (confidence,), status=status)
    is_found = binding.found_id >= 0
    track_id = binding.found_id if is_found else max(candidate.track_id, TENTATIVE)
    if row < 0:
        return Selection(prompt_id, (), (), status=PromptStatus(prompt_id, "lost", 0.0, track_id))
    is_certain = track_id != TENTATIVE and binding.bridge is None
    confidence = binding.confidence if is_certain else TENTATIVE_CONFIDENCE
    state = PromptStatus(prompt_id, "reacquired" if is_found else "bound", confidence, track_id)
    return Selection(prompt_id, (row,), (confidence,), status=state)
