"""Run all cases of a folder and print a table; exit code 1 if an answer is wrong: `scripts/cases FOLDER`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.cases import data_sets, images, settings, videos
from benchmarks.cases.harness import Case, Row, Workspace, run_case

__all__ = ["ALL_CASES", "NOT_CASES", "main", "unknown_files"]

ALL_CASES: tuple[Case, ...] = (*videos.CASES, *images.CASES, *data_sets.CASES, *settings.CASES)
NOT_CASES = frozenset({"README.md", "recipe.yaml"})
"""Files that are no inputs of their own: `recipe.yaml` belongs to `coco_late`."""


def unknown_files(folder: Path) -> list[str]:
    """Return the files and folders without a right answer here."""
    return sorted({path.name for path in folder.iterdir()} - {case.name for case in ALL_CASES} - NOT_CASES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases; 0 if all answers are right, 1 if not, 2 if the folder is wrong."""
    flags = argparse.ArgumentParser(prog="scripts/cases", description="Run small inputs of bug reports.")
    flags.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the inputs")
    flags.add_argument("--only", action="append", metavar="NAME", help="run only this file; repeatable")
    args = flags.parse_args(arguments)
    if not args.folder.is_dir():
        print(f"scripts/cases: {args.folder} is not a folder", file=sys.stderr)
        return 2
    rows: list[Row] = []
    chosen = [case for case in ALL_CASES if not args.only or case.name in args.only]
    for case in chosen:
        if not (args.folder / case.name).exists():
            rows.append(Row(case, "missing in the folder", ok=False))
            continue
        with TemporaryDirectory() as results:
            rows.append(run_case(case, Workspace(args.folder.absolute(), Path(results))))
        print(f"{case.name}: {'ok' if rows[-1].ok else 'WRONG'}", file=sys.stderr)
    table = Table("file", "right answer", "got", "ok")
    for row in rows:
        table.add_row(*map(Text, (row.case.name, row.case.right, row.got, "yes" if row.ok else "NO")))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    unknown = [] if args.only else unknown_files(args.folder)
    if unknown:
        print(f"without a right answer: {', '.join(unknown)}")
    num_right = sum(row.ok for row in rows)
    print(f"{num_right} of {len(rows)} right")
    return 0 if rows and num_right == len(rows) and not unknown else 1


if __name__ == "__main__":
    sys.exit(main())
