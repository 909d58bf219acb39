"""Validation errors of a configuration in words: one line each, with the path of the key, without secrets."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from streamseg.config.sections import NETWORK_DEVICE_PATTERN, Config
from streamseg.config.sources import ADDRESS_FAULT, SOURCE_ID_PATTERN, SourceConfig
from streamseg.config.tiers import DEVICE_PATTERN
from streamseg.redaction import redact

__all__ = ["SOURCE_TAGS", "explain", "mistakes"]


def mistakes(error: ValidationError) -> list[Mapping[str, Any]]:
    """Return the errors that no other one explains: pydantic counts only the valid items of a list.

    Each missing item of a list of fixed length is an error of pydantic's; here, the list is one that is too short.
    """
    faults: list[Mapping[str, Any]] = []
    for fault in error.errors():
        *parents, last = fault["loc"] or ("",)
        if fault["type"] != "missing" or not isinstance(last, int):
            faults.append(fault)
            continue
        if faults and faults[-1]["loc"] == tuple(parents) and faults[-1]["type"] == _TOO_FEW:
            faults.pop()
        words = f"List should have {last + 1} items, not {len(fault['input'])}"
        faults.append({**fault, "type": _TOO_FEW, "loc": tuple(parents), "msg": words})
    return [fault for fault in faults if not (fault["type"] == "too_short" and _has_inner(fault["loc"], faults))]


_TOO_FEW = "too_few"
"""Type of the error of a list of fixed length that is too short."""


def _has_inner(loc: tuple[int | str, ...], faults: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether an error lies inside the value at this path."""
    return any(len(fault["loc"]) > len(loc) and fault["loc"][: len(loc)] == loc for fault in faults)


def explain(error: ValidationError, model: type[BaseModel] = Config) -> list[str]:
    """Return one line per validation error of a model."""
    lines = []
    for problem in mistakes(error):
        path = ".".join(str(part) for part in problem["loc"] if part not in SOURCE_TAGS) or "configuration"
        if problem["type"] == "extra_forbidden":
            known = _known_keys(problem["loc"][:-1], model)
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"valid keys are {', '.join(sorted(known))}"
            lines.append(f"{path}: unknown key; {hint}")
        else:
            message, value = _message(problem), problem["input"]
            shown = _RECEIVED.repr(value)
            is_known = isinstance(value, Mapping) or problem["type"] == ADDRESS_FAULT or shown in message
            lines.append(f"{path}: {message}{'' if is_known else f', got {shown}'}")
    return lines


_ID_WORDS = "Use 1 to 64 letters, digits, '_', '.' and '-', beginning with a letter or digit"
_PATTERN_WORDS = {
    SOURCE_ID_PATTERN: _ID_WORDS,
    rf"^$|{SOURCE_ID_PATTERN}": _ID_WORDS,
    DEVICE_PATTERN: "Use auto, cpu, cuda or cuda:N",
    NETWORK_DEVICE_PATTERN: "Use auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N",
}
"""Patterns in words."""


def _message(problem: Mapping[str, Any]) -> str:
    words = _PATTERN_WORDS.get(str(problem.get("ctx", {}).get("pattern", "")))
    message = words or str(problem["msg"]).removeprefix("Value error, ")
    # YAML has lists and keys.
    message = message.replace("a valid tuple", "a list").replace("Tuple", "List")
    return re.sub(r"a valid dictionary or (instance of \w+|object to extract fields from)", "keys and values", message)


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
