"""`streamseg collect`: complete the data set of `run --collect`, also after a crash, and count its images."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamseg.errors import DataError, counted

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `collect` to the command line."""
    parser = subparsers.add_parser(
        "collect",
        help="complete and count the data set of run --collect",
        description="Write instances.json from the journal of a folder that run --collect wrote, which a run does when"
        " it ends; after a crash, this command does. Print the number of images and labels by reason.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of run --collect")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Complete the folder; exit code 0."""
    from streamseg.runtime.collected_folder import JOURNAL, CollectedFolder

    if not (args.folder / JOURNAL).is_file():
        raise DataError(f"{args.folder} has no {JOURNAL}; give a folder of streamseg run --collect FOLDER")
    with CollectedFolder(args.folder) as folder:
        reasons = folder.reasons()
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        images = f"{counted(len(folder), 'image')}, {folder.num_bytes / 1e6:.1f} MB"
        print(f"{args.folder}: {images}; {counts or 'no prompts'}")
    return 0
