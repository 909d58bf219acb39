"""What every entry point does: one-line errors of the parser, and exit codes. Needs the standard library only."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from streamseg.errors import StreamsegError

__all__ = ["Parser", "execute"]


class Parser(argparse.ArgumentParser):
    """argparse with one-line error messages, like all other errors."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Print one line and exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def execute(args: argparse.Namespace) -> int:
    """Run the subcommand of parsed arguments, `args.command`, and report its error as one line.

    Returns:
        Exit code: that of the subcommand, 2 for an error, 130 for Ctrl-C, 0 if the reader closed the pipe.
    """
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except StreamsegError as error:
        print(f"streamseg: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has closed the pipe. Flushing at exit must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
