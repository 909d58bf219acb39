"""The keys of each type of source, for forms."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final, get_args

from streamseg.config.sources import SourceConfig

__all__ = ["source_fields"]

_KINDS: Final = {
    frozenset({"string"}): "text",
    frozenset({"integer"}): "number",
    frozenset({"number"}): "number",
    frozenset({"integer", "string"}): "number or text",
    frozenset({"boolean"}): "flag",
}


@functools.cache  # the schemas of all models take long enough to delay other clients of the control channel
def source_fields() -> dict[str, list[dict[str, Any]]]:
    """Return the keys of each type of source as JSON values, required ones first, without `type` itself.

    Each has `key`, `kind` (text, number, number or text, flag, choice), `required`, `default` (null if required),
    `nullable` (whether null is a value) and `choices` (of the kind choice, else empty). Computed once: do not change.
    """
    models = get_args(get_args(SourceConfig)[0])
    return {model.model_fields["type"].default: _fields(model.model_json_schema()) for model in models}


def _fields(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    required = frozenset(schema.get("required", ()))
    fields = [
        _field(key, description, is_required=key in required)
        for key, description in schema["properties"].items()
        if key != "type"
    ]
    return sorted(fields, key=lambda field: not field["required"])


def _field(key: str, description: Mapping[str, Any], *, is_required: bool) -> dict[str, Any]:
    types = frozenset(one["type"] for one in description.get("anyOf", [description]))
    choices = list(description.get("enum", ()))
    return {
        "key": key,
        "kind": "choice" if choices else _KINDS[types - {"null"}],
        "required": is_required,
        "default": description.get("default"),
        "nullable": "null" in types,
        "choices": choices,
    }
