"""Display names of prompts, shared by all pages of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from streamseg.errors import DataError

__all__ = ["MAX_NAME_CHARACTERS", "PromptNames"]

MAX_NAME_CHARACTERS: Final = 64


class PromptNames:
    """Display names given to prompts on a page, by prompt id; ids and targets of the prompts do not change.

    No two prompts have the same name, and none has the id of another as its name. Not thread-safe.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    @property
    def as_json(self) -> dict[str, str]:
        """A copy, by prompt id; prompts displayed by their ids are omitted."""
        return dict(self._names)

    def keep(self, ids: Collection[str]) -> None:
        """Remove the names of prompts that are no longer in force."""
        self._names = {prompt_id: name for prompt_id, name in self._names.items() if prompt_id in ids}

    def rename(self, args: Mapping[str, Any], ids: Collection[str]) -> None:
        """Rename a prompt; its own id as the name removes the name.

        Args:
            args: {"id": …, "name": …}.
            ids: ids of the prompts in force.

        Raises:
            DataError: the prompt is unknown, or the name is invalid or taken; nothing is changed.
        """
        unknown = [str(key)[:40] for key in args if key not in ("id", "name")]
        if unknown:
            raise DataError(f"unknown argument {unknown[0]!r}; valid ones are id, name")
        prompt_id, name = args.get("id"), args.get("name")
        if not isinstance(prompt_id, str) or prompt_id not in ids:
            raise DataError(f"no prompt {str(prompt_id)[:40]!r} to rename")
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
            raise DataError(f"a name has 1 to {MAX_NAME_CHARACTERS} visible characters, got {str(name)[:80]!r}")
        name = name.strip()
        taken = {self._names.get(other, other) for other in ids if other != prompt_id} | (set(ids) - {prompt_id})
        if name in taken:
            raise DataError(f"another prompt has the name {name!r}; names are unique, choose another one")
        if name == prompt_id:
            self._names.pop(prompt_id, None)
        else:
            self._names[prompt_id] = name
