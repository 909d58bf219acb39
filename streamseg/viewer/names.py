"""What prompts are called on the page, where somebody has named them; their ids stay, and what they follow."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from streamseg.errors import DataError

__all__ = ["MAX_NAME_CHARACTERS", "Names"]

MAX_NAME_CHARACTERS: Final = 64


class Names:
    """Names by prompt id. No two prompts are called the same, and none by the id of another. Not thread-safe."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    @property
    def as_json(self) -> dict[str, str]:
        """A copy, by prompt id; without those that are called by their ids."""
        return dict(self._names)

    def keep(self, ids: Collection[str]) -> None:
        """Forget the names of prompts that are not in force any more."""
        self._names = {prompt_id: name for prompt_id, name in self._names.items() if prompt_id in ids}

    def rename(self, args: Mapping[str, Any], ids: Collection[str]) -> None:
        """Call a prompt something else; by its own id again, if that is the name.

        Args:
            args: {"id": …, "name": …}.
            ids: of the prompts in force.

        Raises:
            DataError: there is no such prompt, or the name is none or another prompt's; nothing is changed.
        """
        unknown = [str(key)[:40] for key in args if key not in ("id", "name")]
        if unknown:
            raise DataError(f"unknown argument {unknown[0]!r}; valid ones are id, name")
        prompt_id, name = args.get("id"), args.get("name")
        if not isinstance(prompt_id, str) or prompt_id not in ids:
            raise DataError(f"there is no prompt {str(prompt_id)[:40]!r} to rename")
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
            raise DataError(f"a name has 1 to {MAX_NAME_CHARACTERS} visible characters, got {str(name)[:80]!r}")
        name = name.strip()
        taken = {self._names.get(other, other) for other in ids if other != prompt_id} | (set(ids) - {prompt_id})
        if name in taken:
            raise DataError(f"another prompt is called {name!r}; names are unique, choose another one")
        if name == prompt_id:
            self._names.pop(prompt_id, None)
        else:
            self._names[prompt_id] = name
