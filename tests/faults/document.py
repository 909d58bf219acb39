"""The measured rows as tables of docs/faults.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tests.faults.rows import REPOSITORY, Row

__all__ = ["BEGIN", "DOCUMENT", "END", "cell", "render", "replaced"]

DOCUMENT = REPOSITORY / "docs" / "faults.md"
BEGIN, END = "<!-- scripts/faults: begin -->", "<!-- scripts/faults: end -->"


def cell(row: Row, result: Mapping[str, Any] | None) -> str:
    """Return what was measured, in words."""
    if result is None:
        return "not measured"
    if result["skipped"]:
        return f"skipped: {result['skipped']}"
    words = []
    if result["values"]:
        median, worst = statistics.median(result["values"]), max(result["values"])
        words.append(f"{_number(median)} / {_number(worst)} {row.unit}, {result['num_plays']} ×")
    elif not result["failures"]:
        words.append(f"held, {result['num_plays']} ×")
    if result["failures"]:
        words.append(f"{len(result['failures'])} of {result['num_plays']} failed")
    return ("" if result["held"] else "**missed**: ") + ", ".join(words)


def render(sections: Mapping[str, Sequence[Row]], results: Mapping[str, Any]) -> str:
    """Return the tables, with the conditions before and the shortfalls after them."""
    lines = [_conditions(results), ""]
    for section, rows in sections.items():
        lines += [
            f"### {section}",
            "",
            "| fault | played as | promise | median / worst | command |",
            "|---|---|---|---|---|",
        ]
        for row in rows:
            found = results["rows"].get(row.name)
            lines.append(f"| {row.name} | {row.played_as} | {_promise(row)} | {cell(row, found)} | `{row.command}` |")
        lines.append("")
    missed = [
        (row, results["rows"][row.name]) for rows in sections.values() for row in rows if _is_missed(row, results)
    ]
    lines += [_shortfall(row, result) for row, result in missed] or ["Every promise that was measured was held."]
    return "\n".join(lines) + "\n"


def replaced(text: str, tables: str) -> str:
    """Return the document with other tables between its two marks.

    Raises:
        ValueError: a mark is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT}: the marks {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


def _conditions(results: Mapping[str, Any]) -> str:
    found = list(results["rows"].values())
    loads = [result["load"] for result in found] or [0.0]
    num_busy = sum(result["is_loaded"] for result in found)
    days = sorted({result["measured"][:10] for result in found}) or ["never"]
    words = f"Measured on {results['machine']}, {' and '.join({days[0]: 0, days[-1]: 0})}, at a load average of"
    words += f" {min(loads):.1f} to {max(loads):.1f}"
    if num_busy:
        words += f"; for {num_busy} of {len(found)} rows other processes kept the machine busy (loaded machine)"
    priority = sorted({result["priority"] for result in found})
    words += f". Priority of the process: {', '.join(priority) or 'normal'}."
    return f"{words} All values, with seeds and versions: `benchmarks/results/faults.json`."


def _promise(row: Row) -> str:
    words = f"≤ {_number(row.promise)}" if row.promise else "0"
    return row.promised or f"{words} {row.unit}"


def _is_missed(row: Row, results: Mapping[str, Any]) -> bool:
    result = results["rows"].get(row.name)
    return result is not None and not result["skipped"] and not result["held"]


def _shortfall(row: Row, result: Mapping[str, Any]) -> str:
    words = [row.shortfall] if row.shortfall else []
    words += [f"in one run: {result['failures'][0][:200]}"] if result["failures"] else []
    if not words:
        words = [f"worst of {result['num_plays']} runs, at a load average of {result['load']:.1f} on a shared machine"]
    return f"- Missed: {row.name}. Cause: {'; '.join(words)}."


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 and value != round(value) else f"{value:.0f}"
