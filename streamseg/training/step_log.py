"""Logs with one JSON object per line and step, truncated to the checkpoint's step when a run resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamseg.errors import DataError, reason_of

__all__ = ["append_line", "read_lines", "trim_lines"]


def append_line(path: Path, values: Mapping[str, Any]) -> None:
    """Append a line.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
    except OSError as error:
        raise DataError(f"cannot write {path}: {reason_of(error)}") from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines in order, up to a line left incomplete by a killed writer; empty if the file does not exist.

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
    """Remove lines logged after `step`, because these steps are repeated.

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
