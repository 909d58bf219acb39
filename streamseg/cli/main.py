"""Entry point: run the subcommand, and report errors as one line with exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from streamseg import __version__
from streamseg.cli import (
    batch,
    check_config,
    collect,
    completion,
    demo,
    doctor,
    embed,
    export,
    fleet,
    keys,
    label,
    label_studio,
    pack,
    quantize,
    refine,
    ros,
    run,
    segment,
    subscribe,
    text,
    tiers,
    train,
    weights,
    yolo,
)
from streamseg.cli import eval as evaluate
from streamseg.cli.entry import execute, leave
from streamseg.cli.logs import add_log_arguments, set_up_logs
from streamseg.cli.parser import Parser, subparsers_of

__all__ = ["main"]

SUBCOMMANDS = (
    demo,
    run,
    fleet,
    ros,
    segment,
    batch,
    subscribe,
    train,
    refine,
    embed,
    collect,
    label,
    label_studio,
    pack,
    evaluate,
    export,
    quantize,
    weights,
    text,
    tiers,
    keys,
    yolo,
    check_config,
    doctor,
    completion,
)


def build_parser() -> Parser:
    """Return the parser with all subcommands."""
    parser = Parser(prog="streamseg", description="Segment everything in live video and publish it.")
    parser.add_argument("--version", action="version", version=f"streamseg {__version__}")
    add_log_arguments(parser)
    subparsers = parser.add_subparsers(title="subcommands", metavar="COMMAND", required=True)
    for module in SUBCOMMANDS:
        module.add_parser(subparsers)
    subparsers.choices["completion"].set_defaults(parser=parser)
    # People write the options of the log after the subcommand, too.
    for subparser in subparsers_of(parser):
        for leaf in subparsers_of(subparser) or [subparser]:
            add_log_arguments(leaf, nested=True)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand. Exit codes: 0 success, 1 as the subcommand documents, 2 error, others see `execute`.

    Args:
        arguments: None: those of the process, which a service ends itself.
    """
    args = build_parser().parse_args(arguments)
    set_up_logs(args)
    code = execute(args)
    if arguments is None and getattr(args, "is_service", False):
        leave(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
