"""Entry point of the command `streamseg-client`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from streamseg.cli import keys, subscribe
from streamseg.cli.entry import Parser, execute
from streamseg_client import __version__

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand. Exit codes: 0 success, 1 as the subcommand documents, 2 error, 130 Ctrl-C."""
    parser: argparse.ArgumentParser = Parser(prog="streamseg-client", description="Receive what streamseg publishes.")
    parser.add_argument("--version", action="version", version=f"streamseg-client {__version__}")
    subparsers = parser.add_subparsers(title="subcommands", metavar="COMMAND", required=True)
    for module in (subscribe, keys):
        module.add_parser(subparsers)
    return execute(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
