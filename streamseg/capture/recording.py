"""Frames of a recording with their indices and times, in files and over the network."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.capture.decoder import VideoDecoder, period_seconds
from streamseg.capture.source import FrameCounter
from streamseg.capture.timeline import Timeline, describe_mended
from streamseg.errors import SourceError

__all__ = ["Recording", "TimedFrame"]

AVFMT_TS_DISCONT = 0x200
"""FFmpeg's flag of formats whose time stamps may be discontinuous."""

logger = logging.getLogger(__name__)


class TimedFrame(NamedTuple):
    """A decoded frame of a recording."""

    decoded: av.VideoFrame
    frame_index: int
    pts_seconds: float
    """Time since the first frame of the first pass."""


class Recording:
    """Time line of a recording over all its passes; what it mends is logged at the end of each pass.

    Args:
        source_id: id of the source, for the log.
        counter: counter of the source's frames.
        can_wait: False for a pipe, whose frames must not be held until later ones are known.
    """

    def __init__(self, source_id: str, counter: FrameCounter, *, can_wait: bool = True) -> None:
        self._source_id = source_id
        self._counter = counter
        self._can_wait = can_wait
        self._timeline: Timeline[tuple[av.VideoFrame, int] | None] | None = None

    @property
    def mended(self) -> Counter[str]:
        """Number of mended discontinuities so far, by kind."""
        return Counter() if self._timeline is None else self._timeline.mended.copy()

    def frames(
        self,
        container: InputContainer,
        stream: VideoStream,
        decoder: VideoDecoder,
        packets: Iterable[av.Packet[VideoStream]],
    ) -> Iterator[TimedFrame]:
        """Yield the frames of one pass; also those before an error, which is raised after them."""
        if self._timeline is None:
            self._timeline = Timeline(
                period_seconds(stream),
                has_jumps=bool(container.format.flags & AVFMT_TS_DISCONT),
                **({} if self._can_wait else {"lookahead": 0}),
            )
        timeline, before = self._timeline, self.mended
        failure: SourceError | av.error.FFmpegError | None = None
        try:
            for packet in packets:
                for decoded in decoder.decode(packet, time.monotonic()):
                    # Indices are in decoding order, as are those of the drops between them.
                    index = self._counter.next_index()
                    item = None if index is None else (decoded, index)
                    yield from _numbered(timeline.add(item, decoded.time, _dts_seconds(decoded)))
        except (SourceError, av.error.FFmpegError) as error:
            failure = error
        yield from _numbered(timeline.end())
        mended = self.mended - before
        if mended:
            logger.warning("%s: %s", self._source_id, describe_mended(mended))
        if failure is not None:
            raise failure


def _numbered(timed: Iterator[tuple[tuple[av.VideoFrame, int] | None, float]]) -> Iterator[TimedFrame]:
    """Yield the frames that the stride does not skip."""
    for item, seconds in timed:
        if item is not None:
            yield TimedFrame(*item, seconds)


def _dts_seconds(decoded: av.VideoFrame) -> float | None:
    if decoded.dts is None or decoded.time_base is None:
        return None
    return float(decoded.dts * decoded.time_base)
