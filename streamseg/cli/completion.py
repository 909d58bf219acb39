"""`streamseg completion`: print a script that completes commands and options in a shell."""

from __future__ import annotations

import argparse

__all__ = ["add_parser", "run"]

SHELLS = ("bash", "zsh", "tcsh")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `completion` to the command line."""
    parser = subparsers.add_parser(
        "completion",
        help="print a completion script for a shell",
        description='Print a script that completes subcommands and options. In bash: eval "$(streamseg completion'
        ' bash)", in ~/.bashrc to keep it. In zsh: streamseg completion zsh > FOLDER/_streamseg, a folder of $fpath.',
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Print the script for `args.parser`, the whole command line, which `main.build_parser` sets."""
    import shtab

    print(shtab.complete(args.parser, args.shell))
    return 0
