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

__all__ = [
    "ConfigError",
    "DataError",
    "EngineError",
    "PublishError",
    "SourceError",
    "StreamsegError",
    "WeightsError",
    "WireError",
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
