"""Log records on standard error: time, level, source and message, as text or as JSON; without secrets of addresses."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Final

from streamseg.redaction import redact_text

__all__ = [
    "add_log_arguments",
    "log_is_json",
    "log_level",
    "print_error",
    "print_note",
    "set_up_logs",
    "set_up_process_logs",
]

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")
CAPTURE_THREAD: Final = "capture "
"""Start of the name of the thread that reads a source; the source's id follows (`runtime/sources.py`)."""


def add_log_arguments(parser: argparse.ArgumentParser, *, nested: bool = False) -> None:
    """Add the options that control the log.

    Args:
        parser: the parser to extend.
        nested: True for a subcommand's parser: options that are not given keep the values of the outer parser.
    """

    def default(value: str | bool | None) -> str | bool | None:
        return argparse.SUPPRESS if nested else value

    group = parser.add_argument_group("log")
    group.add_argument("--log-level", type=str.lower, choices=LEVELS, default=default(None), help="default: warning")
    group.add_argument(
        "--log-format",
        choices=FORMATS,
        default=default("text"),
        help="format of standard error; json: one object per line with time, level, source, logger and message"
        " (default: text)",
    )
    group.add_argument("-v", "--verbose", action="store_true", default=default(False), help="as --log-level info")
    group.add_argument(
        "--traceback",
        action="store_true",
        default=default(False),
        help="show the traceback of an error (also: environment variable STREAMSEG_DEBUG=1)",
    )


def set_up_logs(args: argparse.Namespace) -> None:
    """Write the log to standard error as the options say. Handlers that exist already are kept and win."""
    set_up_process_logs(log_level(args), args.log_format)


def log_level(args: argparse.Namespace) -> str:
    """Return the level of the log that the options choose."""
    return str(args.log_level or ("info" if args.verbose else "warning"))


def set_up_process_logs(level: str, log_format: str) -> None:
    """Write the log of this process to standard error, as `set_up_logs` does; for processes that a command starts."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler])


def log_is_json() -> bool:
    """Return whether standard error takes JSON lines only, so that nothing else may be written there."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)


def print_error(message: str, log_format: str) -> None:
    """Write the error that ends the command to standard error, in the format of the log (text or json)."""
    _print(message, f"streamseg: {message}", logging.ERROR, log_format)


def print_note(message: str, args: argparse.Namespace) -> None:
    """Write a line for the user to standard error, at any level of the log and in its format."""
    _print(message, message, logging.INFO, getattr(args, "log_format", "text"))


def _print(message: str, text: str, level: int, log_format: str) -> None:
    if log_format == "json":
        text = JsonLines().format(logging.LogRecord("streamseg", level, "", 0, message, None, None))
    print(redact_text(text), file=sys.stderr, flush=True)


def source_of(record: logging.LogRecord) -> str | None:
    """Return the id of the source that a record is about: its `source`, or else the source of its thread."""
    source = getattr(record, "source", None)
    if source is None and (record.threadName or "").startswith(CAPTURE_THREAD):
        source = (record.threadName or "").removeprefix(CAPTURE_THREAD)
    return source


def _time_of(record: logging.LogRecord) -> str:
    """Return the time in UTC, RFC 3339 with milliseconds."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_PROGRAM: Final = re.compile(r"streamseg\..*")
"""Loggers of this program: which module writes a line concerns no user; with JSON, it is in the record."""


class TextLines(logging.Formatter):
    """`TIME LEVEL SOURCE: MESSAGE`; a record of no source has the name of its program or library there."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; an exception adds its traceback."""
        name = source_of(record) or _PROGRAM.sub("streamseg", record.name)
        # Most messages name their source themselves.
        message = redact_text(record.getMessage()).removeprefix(f"source {name}: ").removeprefix(f"{name}: ")
        if record.exc_info:
            message = f"{message}\n{redact_text(self.formatException(record.exc_info))}"
        return f"{_time_of(record)} {record.levelname} {name}: {message}"


class JsonLines(logging.Formatter):
    """One JSON object per record: time, level, source (null if none), logger, message; error with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        values = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "source": source_of(record),
            "logger": record.name,
            "message": redact_text(record.getMessage()),
        }
        if record.exc_info:
            values["error"] = redact_text(self.formatException(record.exc_info))
        return json.dumps(values, ensure_ascii=False)
