"""A file of JSON lines that each belong to a step, cut back to a step when a run resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamseg.errors import DataError

__all__ = ["append_line", "read_lines", "trim_lines"]


def append_line(path: Path, values: Mapping[str, Any]) -> None:
    """Add a line.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines in order, up to one that a killed writer left unfinished; none where there is no file.

    Raises:
        OSError: the file cannot be read.
    """
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            break
        if not isinstance(values, dict) or not isinstance(values.get("step"), int):
            break
        lines.append(values)
    return lines


def trim_lines(path: Path, step: int) -> None:
    """Leave out what was logged after `step`: those steps are done again.

    Raises:
        OSError: the file cannot be written.
    """
    if not path.exists():
        return
    kept = []
    for values in read_lines(path):
        if values["step"] > step:
            break
        kept.append(json.dumps(values) + "\n")
    path.write_text("".join(kept), encoding="utf-8")
