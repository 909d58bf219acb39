"""Validation errors of a configuration in words: one line each, with the path of the key, without secrets."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from streamseg.config.sections import Config
from streamseg.config.sources import ADDRESS_FAULT, SOURCE_ID_PATTERN, SourceConfig
from streamseg.redaction import redact

__all__ = ["SOURCE_TAGS", "explain", "is_consequence"]


def is_consequence(fault: Mapping[str, Any]) -> bool:
    """Return whether other errors explain this one: pydantic counts only the valid items of a list."""
    return fault["type"] == "too_short" and bool(fault["input"])


def explain(error: ValidationError, model: type[BaseModel] = Config) -> list[str]:
    """Return one line per validation error of a model."""
    lines = []
    for problem in error.errors():
        if is_consequence(problem):
            continue
        path = ".".join(str(part) for part in problem["loc"] if part not in SOURCE_TAGS) or "configuration"
        if problem["type"] == "extra_forbidden":
            known = _known_keys(problem["loc"][:-1], model)
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"valid keys are {', '.join(sorted(known))}"
            lines.append(f"{path}: unknown key; {hint}")
        else:
            value = problem["input"]
            received = (
                ""
                if isinstance(value, Mapping) or problem["type"] == ADDRESS_FAULT
                else f", got {_RECEIVED.repr(value)}"
            )
            lines.append(f"{path}: {_PATTERN_WORDS.get(_pattern(problem)) or _message(problem)}{received}")
    return lines


_ID_WORDS = "Use 1 to 64 letters, digits, '_', '.' and '-', beginning with a letter or digit"
_PATTERN_WORDS = {SOURCE_ID_PATTERN: _ID_WORDS, rf"^$|{SOURCE_ID_PATTERN}": _ID_WORDS}
"""Patterns in words."""


def _pattern(problem: Mapping[str, Any]) -> str:
    return str(problem.get("ctx", {}).get("pattern", ""))


def _message(problem: Mapping[str, Any]) -> str:
    return str(problem["msg"]).removeprefix("Value error, ")


class _Received(reprlib.Repr):
    """Values in messages: of limited length, and addresses without their secrets."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = 20
        self.maxother = self.maxstring = 200

    def repr_str(self, x: str, level: int) -> str:
        """Return the repr of a string."""
        return super().repr_str(re.sub(r"[A-Za-z][A-Za-z0-9+.-]*://.*", lambda found: redact(found[0]), x), level)


_RECEIVED = _Received()

_SOURCE_MODELS: dict[str, type[BaseModel]] = {
    model.model_fields["type"].default: model for model in get_args(get_args(SourceConfig)[0])
}
SOURCE_TAGS = frozenset(_SOURCE_MODELS)


def _known_keys(path: Sequence[int | str], model: type[BaseModel]) -> list[str]:
    """Return the valid keys of the section at the path of a validation error of a model."""
    for part in path:
        if part in _SOURCE_MODELS:
            model = _SOURCE_MODELS[str(part)]
        elif isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            items = get_args(annotation)  # of a list of sections
            section = items[0] if items else annotation
            if isinstance(section, type) and issubclass(section, BaseModel):
                model = section
    return list(model.model_fields)
