"""What a follower writes down of its prompts' objects, and reads again in another run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamseg.prompting.appearance import Looks, looks_of
from streamseg.prompting.history import Sightings
from streamseg.prompting.likeness import Likenesses
from streamseg.prompting.state import Remembered, fingerprint, parse_memory, to_json
from streamseg.prompting.target import Binding
from streamseg.structures.prompt import SpatialPrompt

__all__ = ["Notes"]

_Note = tuple[SpatialPrompt, int, int, float, Looks | None]
"""A prompt, its object's identity, the one under which that was found again, when it last looked like itself, and its
looks before it was found again."""


class Notes:
    """Of the prompts about one source. `memory` may be asked from any thread, the rest not from two at once.

    Args:
        memory: what `memory` gave in an earlier run.

    Raises:
        DataError: the memory is damaged.
    """

    def __init__(self, memory: Mapping[str, object]) -> None:
        self._remembered = parse_memory(memory)
        self._noted: tuple[dict[str, Remembered], Sightings, tuple[_Note, ...]] = (
            dict(self._remembered),
            Sightings(),
            (),
        )

    def take(self, prompt: SpatialPrompt) -> Looks | None:
        """What an earlier run knew of a prompt's object, once; None where it had another prompt of this id, or none."""
        remembered = self._remembered.pop(prompt.prompt_id, None)
        return remembered.looks if remembered is not None and remembered.is_of(prompt) else None

    def write(self, bindings: Iterable[Binding], sightings: Sightings, likenesses: Likenesses) -> None:
        """Replaces what `memory` reads as a whole, so that another thread never finds half of a change."""
        notes = [(one.prompt, one.candidate, one.found_id, one.looks) for one in bindings]
        self._noted = (
            dict(self._remembered),
            sightings,
            tuple(
                (prompt, one.track_id, found_id, likenesses.alike_seconds(one.track_id), looks)
                for prompt, one, found_id, looks in notes
                if one is not None
            ),
        )

    def memory(self) -> dict[str, object]:
        """What is needed to find the prompts' objects again in another run: plain numbers by prompt id, for JSON."""
        remembered, sightings, notes = self._noted
        found = dict(remembered)
        for prompt, track_id, found_id, until_seconds, earlier in notes:
            looks = looks_of(sightings, found_id if found_id >= 0 else track_id, until_seconds, earlier)
            if looks is not None:
                found[prompt.prompt_id] = Remembered(fingerprint(prompt), prompt.step, looks)
        return to_json(found)
