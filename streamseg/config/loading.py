"""Load a Config from a file and the command line; report errors in one line each."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from streamseg.config.address import redact
from streamseg.config.included import read_config_text
from streamseg.config.sections import Config, PromptConfig
from streamseg.config.sources import ADDRESS_FAULT, SourceConfig, parse_source
from streamseg.config.yaml_text import parse_yaml, parse_yaml_value
from streamseg.errors import ConfigError

__all__ = ["load_config"]


def load_config(path: str | Path | None = None, *, sets: Sequence[str] = (), sources: Sequence[str] = ()) -> Config:
    """Read a YAML file, then apply sources and `key.path=value` settings. Without a file, start from the defaults.

    A name of an included configuration, such as `demo` or `configs/demo.yaml`, stands for it unless such a file exists.

    Raises:
        ConfigError: the file is missing or not YAML, or a value is invalid; one line per error.
    """
    values: Any = {}
    if path is not None:
        values = parse_yaml(read_config_text(path, "configuration"), str(path))
        values = {} if values is None else values
        if not isinstance(values, dict):
            raise ConfigError(f"{path} must contain keys and values, got {type(values).__name__}")
    if sources:
        values = {**values, "sources": [parse_source(text).model_dump() for text in sources]}
    for setting in sets:
        _apply(values, setting)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        prefix = f"{path}: " if path is not None else ""
        raise ConfigError("\n".join(prefix + line for line in _explain(error))) from error


def _apply(values: dict[str, Any], setting: str) -> None:
    """Apply one `key.path=value`; list items are addressed by number."""
    key, separator, text = setting.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set needs key=value, got {setting!r}; use e.g. segmentation.conf=0.4")
    value = parse_yaml_value(text, f"--set {key}")
    *parents, last = key.split(".")
    container: Any = values
    for part in parents:
        if isinstance(container, list) and part.isdecimal() and int(part) < len(container):
            container = container[int(part)]
        elif isinstance(container, dict):
            container = container.setdefault(part, {})
        else:
            raise ConfigError(f"--set {key}: no such key or list item: {part!r}")
    if isinstance(container, list) and last.isdecimal() and int(last) < len(container):
        container[int(last)] = value
    elif isinstance(container, dict):
        container[last] = value
    else:
        raise ConfigError(f"--set {key}: no such key or list item: {last!r}")


def _explain(error: ValidationError) -> list[str]:
    """Return one line per validation error."""
    lines = []
    for problem in error.errors():
        if problem["type"] == "too_short" and problem["input"]:
            continue  # pydantic counts only valid items; the invalid ones have lines of their own
        path = ".".join(str(part) for part in problem["loc"] if part not in _TAGS) or "configuration"
        if problem["type"] == "extra_forbidden":
            known = _known_keys(problem["loc"][:-1])
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
            lines.append(f"{path}: {problem['msg'].removeprefix('Value error, ')}{received}")
    return lines


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
_TAGS = frozenset(_SOURCE_MODELS)


def _known_keys(path: Sequence[int | str]) -> list[str]:
    """Return the valid keys of the section at the path of a validation error."""
    model: type[BaseModel] = Config
    for part in path:
        if part in _SOURCE_MODELS:
            model = _SOURCE_MODELS[str(part)]
        elif part == "prompts":
            model = PromptConfig
        elif isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
    return list(model.model_fields)
