"""Entry point: run the subcommand, and report errors as one line with exit code 2."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from streamseg import __version__
from streamseg.cli import (
    check_config,
    demo,
    doctor,
    export,
    label,
    pack,
    refine,
    run,
    segment,
    subscribe,
    train,
    weights,
)
from streamseg.cli import eval as evaluate
from streamseg.cli.entry import Parser, execute

__all__ = ["main"]

SUBCOMMANDS = (
    demo,
    run,
    segment,
    subscribe,
    train,
    refine,
    label,
    pack,
    evaluate,
    export,
    weights,
    check_config,
    doctor,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all subcommands."""
    parser = Parser(prog="streamseg", description="Segment everything in live video and publish it.")
    parser.add_argument("--version", action="version", version=f"streamseg {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more (level INFO)")
    subparsers = parser.add_subparsers(title="subcommands", metavar="COMMAND", required=True)
    for module in SUBCOMMANDS:
        module.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand. Exit codes: 0 success, 1 as the subcommand documents, 2 error, 130 Ctrl-C."""
    args = build_parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    return execute(args)


if __name__ == "__main__":
    sys.exit(main())
