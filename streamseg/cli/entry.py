"""What every entry point does: one-line errors and exit codes. Needs the standard library only."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from streamseg.cli.faults import explain, is_debugging, report_line
from streamseg.cli.logs import print_error
from streamseg.cli.parser import Parser
from streamseg.cli.signals import Terminated, raise_terminated
from streamseg.redaction import redact_text

__all__ = ["Parser", "execute", "leave"]


def execute(args: argparse.Namespace) -> int:
    """Run the subcommand of parsed arguments, `args.command`, and report its error as one line.

    Returns:
        Exit code: that of the subcommand, 2 for an error, 1 for an internal error, 0 if the reader closed the pipe; if
        a signal ended it, 0 for a service (`args.is_service`), which runs until it is stopped, and else 128 + the
        signal's number: 130 for Ctrl-C (also of a service), 143 for SIGTERM.
    """
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        with raise_terminated():
            return command(args)
    except Terminated as request:
        return 0 if getattr(args, "is_service", False) else 128 + request.number
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has closed the pipe. Flushing at exit must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if getattr(args, "traceback", False) or is_debugging():
            print(redact_text("".join(traceback.format_exception(error))), end="", file=sys.stderr)
        message = explain(error)
        print_error(report_line(error) if message is None else message, getattr(args, "log_format", "text"))
        return 1 if message is None else 2


def leave(code: int) -> NoReturn:
    """End the process after its work, also if a thread was abandoned.

    A run that is stopped does not wait for a thread that is inside a library, such as in a slow network or a hung
    write. While Python shuts down, such a thread would abort the process, whose exit code is then that of a crash.
    """
    if len(sys._current_frames()) > 1:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                continue  # nobody reads it any more
        os._exit(code)
    sys.exit(code)
