"""All errors that streamseg raises on purpose.

    StreamsegError                 base class: catches all of them
    ├── ConfigError                an invalid configuration or command line
    ├── SourceError                a source that cannot be opened, read or reconnected
    ├── WeightsError               a weights file that is missing, damaged or of an unsupported architecture
    ├── EngineError                an inference engine or device that is not available
    ├── DataError                  an invalid data set, annotation or prompt
    ├── WireError                  bytes that are not a streamseg message
    └── PublishError               an endpoint that cannot be bound, connected or reached

Each message is one line: what was received, what is allowed, what to do. The command line prints it and exits with
code 2.
"""

from pathlib import Path

__all__ = [
    "ConfigError",
    "DataError",
    "EngineError",
    "PublishError",
    "SourceError",
    "StreamsegError",
    "WeightsError",
    "WireError",
    "counted",
    "reason_of",
]


class StreamsegError(Exception):
    """Base class of all errors that streamseg raises on purpose."""


class ConfigError(StreamsegError, ValueError):
    """An invalid configuration or command line."""


class SourceError(StreamsegError, OSError):
    """A source that cannot be opened, read or reconnected."""


class WeightsError(StreamsegError, ValueError):
    """A weights file that is missing, damaged or of an unsupported architecture."""


class EngineError(StreamsegError, RuntimeError):
    """An inference engine or device that is not available."""


class DataError(StreamsegError, ValueError):
    """An invalid data set, annotation or prompt."""


class WireError(StreamsegError, ValueError):
    """Bytes that are not a streamseg message."""


class PublishError(StreamsegError, OSError):
    """An endpoint that cannot be bound, connected or reached."""


def counted(number: float, noun: str, plural: str | None = None) -> str:
    """Return a number of things in words: `1 frame`, `2 frames`.

    Args:
        number: a whole number, 0 or more.
        noun: what is counted, one of it.
        plural: several of it; None if that is the noun with an s.
    """
    return f"{number:.0f} {noun if number == 1 else plural or f'{noun}s'}"


def reason_of(error: OSError) -> str:
    """Return why a file operation failed, in the system's words.

    A file where a folder is needed is named instead: "File exists" and "Not a directory" do not say which.
    """
    if isinstance(error, FileExistsError | NotADirectoryError) and isinstance(error.filename, str | Path):
        for path in (Path(error.filename), *Path(error.filename).parents):
            if path.exists() and not path.is_dir():
                return f"{path} is a file, not a folder"
    return error.strerror or str(error)
