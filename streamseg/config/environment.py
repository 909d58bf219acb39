"""Environment variables in configurations: `${NAME}`, `${NAME:-default}`, and `$${` for a literal `${`.

In the user and password of an address, values are percent-encoded: `rtsp://admin:${CAMERA_PASSWORD}@camera/1` works
with any password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from streamseg.config.address import is_network
from streamseg.errors import ConfigError

__all__ = ["expand"]

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def expand(value: Any, path: str = "", environment: Mapping[str, str] | None = None) -> Any:
    """Return nested lists and mappings with the references in all texts replaced; keys are unchanged.

    Args:
        value: from YAML.
        path: key of the value, for messages.
        environment: variables by name; by default those of this process. An empty one counts as not set.

    Raises:
        ConfigError: a variable is not set, or a reference is invalid; one line each. Values are not shown.
    """
    problems: list[str] = []
    variables = os.environ if environment is None else environment
    expanded = _expand(value, path, variables, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    return expanded


def _expand(value: Any, path: str, variables: Mapping[str, str], problems: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _expand(item, _join(path, key), variables, problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, _join(path, number), variables, problems) for number, item in enumerate(value)]
    if isinstance(value, str) and "${" in value:
        return _expand_text(value, path, variables, problems)
    return value


def _expand_text(text: str, path: str, variables: Mapping[str, str], problems: list[str]) -> str:
    end_of_user = text.rfind("@") if is_network(text) else -1

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        reference = _NAME.fullmatch(match[1]) if match[0].endswith("}") else None
        if reference is None:
            problems.append(
                f"{path}: {match[0][:40]!r} is no reference to an environment variable; write ${{NAME}},"
                " ${NAME:-default}, or $${ for the characters themselves"
            )
            return ""
        found = variables.get(reference[1]) or reference[2]
        if found is None:
            problems.append(
                f"{path}: the environment variable {reference[1]} is not set; set it, or write"
                f" ${{{reference[1]}:-default}}"
            )
            return ""
        return quote(found, safe="") if match.start() < end_of_user else found

    return _REFERENCE.sub(replace, text)


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
