"""Every error streamseg raises on purpose.

    StreamsegError                 catch this one to catch them all
    ├── ConfigError                a configuration or a command line that cannot be run
    ├── SourceError                a source that cannot be opened, read or reconnected
    ├── WeightsError               a weights file that is missing, broken or of another architecture
    ├── EngineError                an inference engine or device that is not there
    ├── DataError                  a data set, an annotation or a prompt that contradicts itself
    ├── WireError                  bytes that are not a streamseg message
    └── PublishError               an endpoint that cannot be bound, connected or reached

Each message is one line: what was received, what is allowed, what to do. The command line prints
that line and exits with code 2.
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
    """Base of all errors that streamseg raises on purpose."""


class ConfigError(StreamsegError, ValueError):
    """A configuration or a command line that cannot be run."""


class SourceError(StreamsegError, OSError):
    """A source that cannot be opened, read or reconnected."""


class WeightsError(StreamsegError, ValueError):
    """A weights file that is missing, broken or of another architecture."""


class EngineError(StreamsegError, RuntimeError):
    """An inference engine or a device that is not there."""


class DataError(StreamsegError, ValueError):
    """A data set, an annotation or a prompt that contradicts itself."""


class WireError(StreamsegError, ValueError):
    """Bytes that are not a streamseg message."""


class PublishError(StreamsegError, OSError):
    """An endpoint that cannot be bound, connected or reached."""
