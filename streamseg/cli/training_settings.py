"""Settings of a training run: from its recipe, the command line and the initial weights."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from streamseg.errors import ConfigError

if TYPE_CHECKING:
    from streamseg.training.settings import TrainingSettings
    from streamseg.weights import Weights

__all__ = ["training_settings"]


def training_settings(values: Mapping[str, Any], changes: Sequence[str], start: Weights | None) -> TrainingSettings:
    """Return the recipe's settings with the overrides of the command line.

    Args:
        values: settings of the recipe.
        changes: overrides `key=value`; `compose.mosaic=0.5` sets a nested field.
        start: weights to fine-tune, which determine the network's size; None to train from scratch.

    Raises:
        ConfigError: a setting is unknown, a value is not allowed, or the size differs from that of the weights.
    """
    from pydantic import TypeAdapter, ValidationError

    from streamseg.config.yaml_text import parse_yaml_value
    from streamseg.training.compose import ComposeSettings
    from streamseg.training.settings import TrainingSettings

    merged, nested = dict(values), {}
    for change in changes:
        key, separator, text = change.partition("=")
        if not separator:
            raise ConfigError(f"--set needs key=value, got {change!r}, e.g. num_steps=2000")
        value = parse_yaml_value(text, f"--set {key}")
        if key.startswith("compose."):
            nested[key.removeprefix("compose.")] = value
        else:
            merged[key] = value
    compose = merged.pop("compose", {})
    if not isinstance(compose, dict):
        raise ConfigError(f"setting compose must be a mapping of keys to values, got {compose!r}")
    compose = {**compose, **nested}
    _check_keys(merged, TrainingSettings, "")
    _check_keys(compose, ComposeSettings, "compose.")
    if start is not None:
        merged["size"] = _size_of_start(start, merged.get("size"))
    try:
        return TypeAdapter(TrainingSettings).validate_python({**merged, "compose": compose})
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"{part}: " for part in problem["loc"])
        raise ConfigError(f"settings: {where}{problem['msg'].removeprefix('Value error, ')}") from error


def _size_of_start(start: Weights, requested: Any) -> str:
    from streamseg.modeling.sizes import NetworkSize, size_name

    size = size_name(start.network().config)
    if size == "custom":
        sizes = ", ".join(get_args(NetworkSize))
        raise ConfigError(f"{start.path} has none of the network sizes {sizes}; start from other weights")
    if requested not in (None, size):
        raise ConfigError(
            f"the settings require a network of size {requested}, but {start.path} has size {size}; omit size, or start"
            " from other weights"
        )
    return size


def _check_keys(values: Mapping[str, Any], settings: type, prefix: str) -> None:
    known = [field.name for field in dataclasses.fields(settings)]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"did you mean {prefix + near[0]!r}?" if near else f"available: {', '.join(known)}"
            raise ConfigError(f"unknown setting {prefix + str(key)!r}; {hint}")
