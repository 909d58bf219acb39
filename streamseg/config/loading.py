"""Load a Config from a file and the command line; report errors in one line each."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from streamseg.config.environment import expand
from streamseg.config.explanations import SOURCE_TAGS, explain, mistakes
from streamseg.config.fleet import FleetConfig
from streamseg.config.included import read_config_text
from streamseg.config.recorded_run import parse_sources
from streamseg.config.sections import Config
from streamseg.config.sources import SourceConfig
from streamseg.config.yaml_text import parse_yaml, parse_yaml_value
from streamseg.errors import ConfigError

__all__ = ["is_fleet_config", "load_config", "load_fleet_config", "load_valid_part", "parse_source_section"]

M = TypeVar("M", bound=BaseModel)

MAX_ROUNDS = 20
"""Maximum number of times that invalid keys are removed: removing some can invalidate others."""


def load_config(path: str | Path | None = None, *, sets: Sequence[str] = (), sources: Sequence[str] = ()) -> Config:
    """Read a YAML file, then apply sources and `key.path=value` settings. Without a file, start from the defaults.

    References `${NAME}` to environment variables are replaced, see `environment`.

    A name of an included configuration, such as `demo` or `configs/demo.yaml`, stands for it unless such a file exists.

    Raises:
        ConfigError: the file is missing or not YAML, or a value is invalid; one line per error.
    """
    return _validate(Config, _read_values(path, sets, sources), path)


def load_fleet_config(path: str | Path, *, sets: Sequence[str] = ()) -> FleetConfig:
    """Read the YAML file of a fleet, then apply `key.path=value` settings; everything else as in `load_config`.

    Raises:
        ConfigError: the file is missing or not YAML, or a value is invalid; one line per error.
    """
    return _validate(FleetConfig, _read_values(path, sets, ()), path)


def is_fleet_config(path: str | Path) -> bool:
    """Return whether a YAML file has `cameras`, as those of fleets do; False for one that cannot be read."""
    try:
        values = parse_yaml(read_config_text(path, "configuration"), str(path))
    except ConfigError:
        return False
    return isinstance(values, dict) and "cameras" in values


def _validate(model: type[M], values: Mapping[str, Any], path: str | Path | None) -> M:
    """Return the configuration with these values; raises ConfigError with one line per error."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        prefix = f"{path}: " if path is not None else ""
        raise ConfigError("\n".join(prefix + line for line in explain(error, model))) from error


def load_valid_part(
    path: str | Path | None = None, *, sets: Sequence[str] = (), sources: Sequence[str] = ()
) -> tuple[Config | None, list[str]]:
    """Return the valid part of a configuration, and one line per mistake, in order to check everything at once.

    The arguments are those of `load_config`. The configuration is None if nothing can be read.
    """
    try:
        values = _read_values(path, sets, sources)
    except ConfigError as error:
        return None, str(error).splitlines()
    problems: list[str] = []
    removed: list[tuple[int | str, ...]] = []
    for _ in range(MAX_ROUNDS):
        try:
            return Config.model_validate(values), problems
        except ValidationError as error:
            locations = [fault["loc"] for fault in mistakes(error)]
            lines = zip(explain(error), locations, strict=True)
            problems += [line for line, loc in lines if line not in problems and not _contains_one(loc, removed)]
            removed += locations
            values = _without(values, locations)
    return None, problems


def _contains_one(location: tuple[int | str, ...], removed: Sequence[tuple[int | str, ...]]) -> bool:
    """Return whether a section or list lacks a removed key or item, so that its fault may be a consequence of that."""
    return location != () and any(len(loc) > len(location) and loc[: len(location)] == location for loc in removed)


def parse_source_section(values: Mapping[str, Any]) -> SourceConfig:
    """Return the source that one section of a configuration describes; its id may be empty.

    Args:
        values: keys and values of the section, from an untrusted peer, for example.

    Raises:
        ConfigError: a key or value is invalid; one line for all errors, without secrets.
    """
    try:
        section: SourceConfig = _SOURCE_SECTION.validate_python(values)
        return section
    except ValidationError as error:
        message = "; ".join(explain(error))
    raise ConfigError(f"source: {message}")  # outside `except`: the cause contains the whole address


def _without(values: dict[str, Any], locations: Sequence[tuple[int | str, ...]]) -> dict[str, Any]:
    """Return a copy without the keys and list items at the locations of validation errors.

    Without a missing key, its section is removed, and without an item that is no section, the list of the innermost
    key; for a contradiction between sections, the ids and prompts are removed.
    """
    values = copy.deepcopy(values)
    removed: list[tuple[Any, int | str]] = []
    for location in locations:
        steps = [part for part in location if part not in SOURCE_TAGS]
        if not steps:
            for key in ("prompts", "prompting"):
                values.pop(key, None)
            sources = values.get("sources")
            for source in sources if isinstance(sources, list) else ():
                if isinstance(source, dict):
                    source.pop("id", None)
            continue
        container: Any = values  # a dict, a list or a value
        target: tuple[Any, int | str] = (values, steps[0])
        for step in steps:
            is_item = isinstance(container, list) and isinstance(step, int) and step < len(container)
            if not is_item and not (isinstance(container, dict) and step in container):
                break
            if isinstance(container, dict) or isinstance(container[step], dict):
                target = (container, step)
            container = container[step]
        removed.append(target)
    for container, step in removed:
        container[step] = _REMOVED
    cleaned: dict[str, Any] = _without_removed(values)
    return cleaned


_REMOVED = object()


def _without_removed(value: Any) -> Any:
    """Return a copy of nested lists and dicts without the marked items."""
    if isinstance(value, dict):
        return {key: _without_removed(item) for key, item in value.items() if item is not _REMOVED}
    if isinstance(value, list):
        return [_without_removed(item) for item in value if item is not _REMOVED]
    return value


def _read_values(path: str | Path | None, sets: Sequence[str], sources: Sequence[str]) -> dict[str, Any]:
    """Return the keys and values of a file, with sources and settings applied."""
    values: Any = {}
    if path is not None:
        values = parse_yaml(read_config_text(path, "configuration"), str(path))
        values = {} if values is None else values
        if not isinstance(values, dict):
            raise ConfigError(f"{path} must contain keys and values, got {type(values).__name__}")
        try:
            values = expand(values)
        except ConfigError as error:
            raise ConfigError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error
    if sources:
        values = {**values, "sources": [section.model_dump() for text in sources for section in parse_sources(text)]}
    for setting in sets:
        _apply(values, setting)
    checked: dict[str, Any] = values
    return checked


def _apply(values: dict[str, Any], setting: str) -> None:
    """Apply one `key.path=value`; list items are addressed by number."""
    key, separator, text = setting.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set needs key=value, got {setting!r}; use e.g. segmentation.conf=0.4")
    value = expand(parse_yaml_value(text, f"--set {key}"), f"--set {key}")
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


_SOURCE_SECTION: TypeAdapter[SourceConfig] = TypeAdapter(SourceConfig)
