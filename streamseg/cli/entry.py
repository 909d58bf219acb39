"""What every entry point does: one-line errors and exit codes. Needs the standard library only."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from streamseg.cli.logs import print_error
from streamseg.cli.parser import Parser
from streamseg.cli.signals import Terminated, raise_terminated
from streamseg.errors import StreamsegError

__all__ = ["Parser", "execute"]


def execute(args: argparse.Namespace) -> int:
    """Run the subcommand of parsed arguments, `args.command`, and report its error as one line.

    Returns:
        Exit code: that of the subcommand, 2 for an error, 0 if the reader closed the pipe; if a signal ended it, 0 for
        a service (`args.is_service`), which works until it is told to end, and else 128 + the signal's number: 130 for
        Ctrl-C (also of a service), 143 for SIGTERM.
    """
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        with raise_terminated():
            return command(args)
    except StreamsegError as error:
        print_error(str(error), getattr(args, "log_format", "text"))
        return 2
    except Terminated as request:
        return 0 if getattr(args, "is_service", False) else 128 + request.number
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has closed the pipe. Flushing at exit must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
