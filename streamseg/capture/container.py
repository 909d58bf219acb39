"""Opens a container and finds the video in it."""

from __future__ import annotations

from collections.abc import Mapping

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.errors import SourceError

__all__ = ["open_video", "start_seconds"]

TEXT_FORMATS = frozenset({"tty"})
"""FFmpeg draws any text file as a film of a terminal; nobody means that."""


def open_video(
    url: str, *, name: str, options: Mapping[str, str], timeout_seconds: float | None = None
) -> tuple[InputContainer, VideoStream]:
    """Open a container and choose its video stream. The caller closes the container.

    Args:
        url: what FFmpeg opens.
        name: how messages call it.
        options: of FFmpeg's protocol and demultiplexer.
        timeout_seconds: of opening and of each read, by interrupting FFmpeg. It asks Python at every poll, so it is
            only for protocols that have no time-out of their own.

    Raises:
        SourceError: there is no video in it, or none that can be decoded.
        av.error.FFmpegError: it cannot be opened. Its text holds the whole address.
    """
    # Tags in some old encoding are no reason to refuse a film.
    container = av.open(url, options=dict(options), timeout=timeout_seconds, metadata_errors="replace")
    try:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream) or container.format.name in TEXT_FORMATS:
            kinds = ", ".join(sorted({other.type for other in container.streams})) or "nothing"
            held = "text" if container.format.name in TEXT_FORMATS else kinds
            raise SourceError(f"{name} holds no video, only {held}; give a video file or a stream of one")
        if stream.codec_context is None:
            raise SourceError(f"{name} holds video in a coding that this build of FFmpeg cannot decode; convert it")
    except BaseException:
        container.close()
        raise
    return container, stream


def start_seconds(stream: VideoStream) -> float | None:
    """Where the stream's time line begins; None where the container does not say."""
    if stream.start_time is None or stream.time_base is None:
        return None
    return float(stream.start_time * stream.time_base)
