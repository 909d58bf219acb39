"""Exceptions of libraries and of the operating system as one line."""

from __future__ import annotations

import json
import os
import re
import struct
import traceback
import zipfile
import zlib

from streamseg.cli.extras import explain_missing
from streamseg.errors import StreamsegError, reason_of
from streamseg.redaction import redact_text

__all__ = ["DEBUG_VARIABLE", "explain", "is_debugging", "report_line"]

DEBUG_VARIABLE = "STREAMSEG_DEBUG"
"""Environment variable; any value except 0 shows the traceback of each error."""

_LIBRARIES = {
    "av.error.FFmpegError": "FFmpeg",
    "cv2.error": "OpenCV",
    "onnxruntime.capi.onnxruntime_pybind11_state": "ONNX Runtime",
    "safetensors": "safetensors",
    "zmq.error.ZMQBaseError": "ZeroMQ",
    "yaml.error.YAMLError": "YAML",
    "pydantic_core._pydantic_core.ValidationError": "a value",
    "PIL.Image.DecompressionBombError": "Pillow",
    "PIL.Image.DecompressionBombWarning": "Pillow",
    "torch.OutOfMemoryError": "the GPU",
}
"""Exception classes, or modules of them, of libraries that may not be imported for this, with their names."""

_MEMORY = re.compile(r"can't allocate memory|not enough memory|out of memory|Unable to allocate|bad allocation", re.I)
_LONGEST = 300


def is_debugging() -> bool:
    """Return whether the environment requests tracebacks."""
    return os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")


def explain(error: BaseException) -> str | None:
    """Return an error that input, files, the network or the machine can cause, as one line; None for any other.

    Our own errors are returned as they are: one line per mistake. Addresses in the messages of libraries lose their
    secrets.
    """
    if isinstance(error, StreamsegError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return explain_missing(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ValueError) and _MEMORY.search(str(error)) is not None
    ):
        return f"the memory is not sufficient ({_one_line(error)}); use smaller images or fewer at a time"
    if isinstance(error, ValueError) and str(error).startswith("embedded null"):
        return "a path contains a null character; remove it"
    library = _library(type(error))
    if library == "a value":
        return f"a value is invalid: {_one_line(error)}"
    if library is not None:
        return f"{library} reports: {_one_line(error)}"
    if isinstance(error, UnicodeError):
        return f"a text is not UTF-8: {_one_line(error)}; save the file as UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"a text is not JSON: {_one_line(error)}"
    if isinstance(error, struct.error | zipfile.BadZipFile | zlib.error | EOFError):
        return f"a file is damaged or incomplete: {_one_line(error)}"
    if isinstance(error, RecursionError):
        return "a value is nested too deeply; use fewer levels"
    if isinstance(error, OSError):
        return _explain_os_error(error)
    return None


def report_line(error: Exception) -> str:
    """Return the line about an error that nobody expected: what, where, and what to do."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return (
        f"internal error: {type(error).__name__}{place}: {_one_line(error)}; this is a fault of streamseg: report it to"
        f" its maintainers with the traceback, which --traceback or {DEBUG_VARIABLE}=1 shows"
    )


def _library(kind: type) -> str | None:
    """Return the library of an exception class, found by name because most are not imported yet."""
    for base in kind.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        for known, library in _LIBRARIES.items():
            if name == known or base.__module__ == known or base.__module__.startswith(f"{known}."):
                return library
    return None


def _explain_os_error(error: OSError) -> str:
    """Return a failed operation on a file, a device or a socket, with its name if known."""
    if error.strerror is None:
        return f"a file cannot be read: {_one_line(error)}"
    if error.filename is None:
        return f"the system reports: {_clean(error.strerror)}"
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    return f"cannot use {_clean(name)}: {_clean(reason_of(error))}; check the path and its permissions"


def _one_line(error: BaseException) -> str:
    return _clean(str(error)) or type(error).__name__


def _clean(text: str) -> str:
    """Return a text as one line of limited length without control characters, and with addresses without secrets."""
    line = redact_text(" ".join("".join(c if c.isprintable() else " " for c in text).split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
