"""YAML in which nothing is lost: repeated keys, values cut by ` #` and numbers of another base are errors."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from streamseg.config.address import address_fault, scheme_of
from streamseg.errors import ConfigError
from streamseg.redaction import redact

__all__ = ["parse_yaml", "parse_yaml_value"]

_COMMENT = re.compile(r"[ \t]+#([^\r\n]*)")
_REST_OF_ADDRESS = re.compile(r"[^\s@]*@(\d+(\.\d+){3}|\[[0-9A-Fa-f:]+\]|[\w.-]+(?=:\d+|/))(:\d+)?(?=[/?\s]|$)")
_MEDIA = (
    r"\.(avi|avif|bmp|gif|h26[45]|heic|jfif|jpe?g|jsonl?|m4v|mkv|mov|mp4|mpe?g|onnx|png|pt|safetensors|tiff?|ts|webm"
    r"|webp)"
)
_REST_OF_PATH = re.compile(rf"(\d\S*( .*)?|[^\s#]\S*){_MEDIA}", re.IGNORECASE)
_REST_OF_NAME = re.compile(rf"\d\S*{_MEDIA}", re.IGNORECASE)
_OTHER_BASE = re.compile(r"[-+]?(0[0-7_]*[0-7]|[1-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
_SUFFIX = re.compile(r"\.(?=\w*[A-Za-z])\w{1,11}$")


def parse_yaml(text: str, name: str) -> Any:
    """Parse one YAML document with plain values.

    Args:
        text: the document; None is returned for an empty one.
        name: its name in error messages, such as the path of the file.

    Raises:
        ConfigError: the text is not YAML, a key occurs twice in a mapping, ` #` cuts an address or a path, or a number
            is octal or sexagesimal; one line per mistake.
    """
    try:
        faults = [*_repeated_keys(text), *_cut_values(text), *_other_bases(text)]
        value = yaml.load(text, Loader=_SAFE)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not valid YAML: {_problem(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"{name} is not valid YAML: nested too deeply; use fewer levels") from error
    except (ArithmeticError, AttributeError, LookupError, ValueError) as error:  # a date that does not exist, !!bool 5
        raise ConfigError(f"{name} is not valid YAML: {' '.join(str(error).split())}; quote the value") from error
    if faults:
        raise ConfigError("\n".join(f"{name}: {fault}" for fault in faults))
    return value


def parse_yaml_value(text: str, name: str) -> Any:
    """Parse the value of one setting of the command line.

    Raises:
        ConfigError: the text is not YAML, or would lose a part, see `parse_yaml`.
    """
    try:
        return parse_yaml(text, name)
    except ConfigError as error:
        if isinstance(error.__cause__, yaml.YAMLError):
            raise ConfigError(f"{name}: {redact(text)!r} is not a YAML value") from error
        raise


def _problem(error: yaml.YAMLError) -> str:
    """Return what is wrong and its place, without the text there, which may contain a password."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        text = f"{error.context or ''} {error.problem or ''} in line {mark.line + 1}, column {mark.column + 1}"
        if "'\\t'" in str(error.problem):
            text += "; indent with spaces, not with tabs"
    else:
        text = str(error)
    return " ".join(text.split())


_SAFE = yaml.SafeLoader


def _repeated_keys(text: str) -> list[str]:
    """Return one message per key that occurs twice in its mapping, with both lines."""
    loader = _SAFE(text)
    faults = []
    try:
        root = loader.get_single_node()
        pending = [] if root is None else [root]
        visited: set[int] = set()
        while pending:
            node = pending.pop()
            if id(node) in visited:  # an alias
                continue
            visited.add(id(node))
            if isinstance(node, yaml.SequenceNode):
                pending.extend(reversed(node.value))
            elif isinstance(node, yaml.MappingNode):
                lines: dict[Any, int] = {}
                for key_node, _ in node.value:
                    key = _key(loader, key_node)
                    line = key_node.start_mark.line + 1
                    if key in lines:
                        faults.append(
                            f"key {key!r} occurs twice, in lines {lines[key]} and {line}, and only one would count; "
                            "merge or remove one"
                        )
                    lines.setdefault(key, line)
                pending.extend(value for _, value in reversed(node.value))
    finally:
        loader.dispose()
    return faults


def _key(loader: yaml.SafeLoader, node: yaml.Node) -> Hashable:
    """Return a key as the loaded mapping will contain it; an unhashable key as an object of its own."""
    if not isinstance(node, yaml.ScalarNode):
        return id(node)
    if node.tag == "tag:yaml.org,2002:merge":
        return "<<"
    key = loader.construct_object(node)
    return key if isinstance(key, Hashable) else id(node)


def _cut_values(text: str) -> list[str]:
    """Return one message per unquoted address or path that a comment seems to cut. The value is not repeated."""
    if " #" not in text and "\t#" not in text:
        return []
    faults = []
    for token in yaml.scan(text, Loader=_SAFE):
        if isinstance(token, yaml.ScalarToken) and token.plain:
            comment = _COMMENT.match(text, _index(text, token.end_mark))
            if comment is not None and _is_cut(str(token.value), comment[1].rstrip()):
                faults.append(
                    f"line {token.end_mark.line + 1}: the value ends at ' #', which starts a comment; "
                    "quote the value if # belongs to it, or write a space after #"
                )
    return faults


def _other_bases(text: str) -> list[str]:
    """Return one message per unquoted number that YAML 1.1 reads in another base: 010 is 8, and 1:30 is 90."""
    if not _OTHER_BASE.search(text):
        return []
    return [
        f"line {token.start_mark.line + 1}: YAML reads {token.value} as {yaml.safe_load(token.value)};"
        " write that number, or quote the value"
        for token in yaml.scan(text, Loader=_SAFE)
        if isinstance(token, yaml.ScalarToken) and token.plain and _OTHER_BASE.fullmatch(token.value)
    ]


def _index(text: str, mark: yaml.Mark) -> int:
    """Return the offset of a mark in the text; the reader drops a byte order mark, and counts in characters."""
    return int(mark.index) + (1 if text.startswith("\ufeff") else 0)


def _is_cut(value: str, comment: str) -> bool:
    """Return whether a comment without a space after `#` continues the value before it.

    Args:
        value: the scalar before ` #`.
        comment: the text after `#`.
    """
    is_address = scheme_of(value) not in ("", "file")
    if is_address and address_fault(value) is not None and "@" in comment:
        return True
    if not comment or comment[0].isspace():
        return False
    if is_address and _REST_OF_ADDRESS.match(comment) and "/" not in value.partition("://")[2]:
        return True
    is_path = is_address or "/" in value or "\\" in value
    rest = _REST_OF_PATH if is_path else _REST_OF_NAME
    if re.search("[A-Za-z]", value) and not _SUFFIX.search(value) and rest.fullmatch(comment):
        return True
    return _exists(f"{value} #{comment}") and not _exists(value)


def _exists(path: str) -> bool:
    """Return whether a path exists; a text that cannot be a path does not."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False
