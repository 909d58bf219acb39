"""Short forms of coordinates on the command line: `520,360` for `[[520, 360]]`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

__all__ = ["expand_list", "expand_rows"]

_NUMBER: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LIST: Final = re.compile(rf"\s*\[?\s*{_NUMBER}(?:[\s,;]+{_NUMBER})*\s*\]?\s*")


def expand_rows(num_columns: int) -> Callable[[str], str]:
    """Return a converter of numbers into a JSON list of rows.

    Numbers are separated by commas, semicolons or spaces: `520,360` becomes `[[520, 360]]`, and `520,360 600,400`
    becomes `[[520, 360], [600, 400]]`. Any other text, such as JSON of rows, is returned unchanged.

    Args:
        num_columns: numbers per row: 2 for points, 4 for boxes.
    """

    def expand(text: str) -> str:
        numbers = _numbers(text)
        if not numbers or len(numbers) % num_columns:
            return text
        return json.dumps([numbers[start : start + num_columns] for start in range(0, len(numbers), num_columns)])

    return expand


def expand_list(text: str) -> str:
    """Return a JSON list of numbers: `1,0` becomes `[1, 0]`. Any other text is returned unchanged."""
    numbers = _numbers(text)
    return json.dumps(numbers) if numbers else text


def _numbers(text: str) -> list[int | float]:
    """Return the numbers of a flat list; empty if the text is anything else."""
    if _LIST.fullmatch(text) is None or text.count("[") != text.count("]"):
        return []
    return [int(word) if re.fullmatch(r"[+-]?\d+", word) else float(word) for word in re.findall(_NUMBER, text)]
