"""Figures in columns, for the terminal."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Table", "format_table"]

Cell = str | int | float


@dataclass(frozen=True)
class Table:
    """Rows of figures under a title; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    """Names of all columns; the first may be ""."""
    rows: tuple[tuple[Cell, ...], ...]
    """As many cells each as there are columns. Floats get three decimals, nan (nothing to measure) a dash."""


def format_table(table: Table) -> str:
    """Lines of aligned columns: names to the left, figures to the right.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """
    cells = [table.columns, *(tuple(map(_text, row)) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if position == 0 else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([table.title, *(f"  {line}" for line in (lines[0], rule, *lines[1:]))])


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        return "–" if math.isnan(cell) else f"{cell:.3f}"
    return str(cell)
