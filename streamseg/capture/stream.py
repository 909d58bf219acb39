"""Video files and network streams, read by PyAV."""

from __future__ import annotations

from streamseg.capture.address import is_network
from streamseg.capture.network_stream import NetworkStream
from streamseg.capture.source import Source
from streamseg.capture.video_file import VideoFile
from streamseg.config import StreamSource

__all__ = ["open_stream"]


def open_stream(config: StreamSource) -> Source:
    """A file (checked at once) or a network stream (first contacted by `frames()`).

    Raises:
        SourceError: the file is missing or holds no video.
    """
    return NetworkStream(config) if is_network(config.url) else VideoFile(config)
