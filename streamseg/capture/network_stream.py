"""A network camera or another network stream as a source of frames."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import NamedTuple

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.capture.clock import NS_PER_SECOND, ArrivalLag, CameraClock, parse_prft
from streamseg.capture.decoder import RgbConverter, VideoDecoder, open_video
from streamseg.capture.display import sample_aspect_ratio
from streamseg.capture.health import SourceHealth
from streamseg.capture.pacing import Backlog, Playback
from streamseg.capture.reconnection import Reconnection, failure_of
from streamseg.capture.recording import Recording
from streamseg.capture.source import FrameCounter
from streamseg.capture.timeline import LiveTimeline, describe_mended
from streamseg.config import StreamSource
from streamseg.config.address import scheme_of
from streamseg.errors import SourceError
from streamseg.redaction import redact
from streamseg.structures.frame import Clock, Frame
from streamseg.telemetry import DropCounter

__all__ = ["NetworkStream", "stream_options"]

logger = logging.getLogger(__name__)

ANALYSE_MICROSECONDS = "1000000"
"""Maximum duration that FFmpeg may analyse before it starts, in µs; its default for a live stream is up to 5 s."""


def stream_options(scheme: str, timeout_seconds: float) -> dict[str, str] | None:
    """Return FFmpeg's options for a protocol; None if the protocol has no known time-out of its own.

    RTSP runs over TCP and requests video only, because many readers fail at the unusual audio codec of a
    camera. Its session description declares the video codec. Thus no analysis is needed, and the first
    keyframe is delivered when it arrives; the common advice `fflags=nobuffer` discards that keyframe.
    Time-outs are in µs: `timeout` for RTSP and UDP, `rw_timeout` for FFmpeg's byte streams.
    """
    microseconds = str(round(timeout_seconds * 1e6))
    if scheme in ("rtsp", "rtsps"):
        return {
            "rtsp_transport": "tcp",
            "allowed_media_types": "video",
            "timeout": microseconds,
            "analyzeduration": "0",
            "probesize": "32",
        }
    if scheme in ("udp", "rtp"):
        return {"timeout": microseconds, "analyzeduration": ANALYSE_MICROSECONDS}
    if scheme in ("http", "https", "rtmp", "rtmps", "tcp", "tls"):
        return {"rw_timeout": microseconds, "analyzeduration": ANALYSE_MICROSECONDS}
    return None


class _Arrival(NamedTuple):
    """Times of a packet, kept until the decoder outputs its frame."""

    camera_ns: int | None
    wall_ns: int
    monotonic_ns: int


class NetworkStream:
    """Source that delivers the frames of a network camera, and reconnects when the connection is lost.

    An FFmpeg read cannot be interrupted. A silent connection therefore ends after `timeout_seconds`, and
    `stop` takes effect at the next packet or time-out. Presentation times continue over connections by the time of
    arrival, and the image size may change at any time. A recording served over HTTP is played in real time (in
    mode every_frame: as fast as it arrives) and has an end.
    """

    def __init__(self, config: StreamSource, *, gives_up: bool = True) -> None:
        """Create a source; `frames()` connects.

        Args:
            config: address and time-outs.
            gives_up: a stream that was never received fails after `open_timeout_seconds`, or when it rejects the
                connection; False: it is retried until the source is stopped.
        """
        self.source_id = config.id
        self.frame_id = config.frame_id
        self.is_live = config.mode != "every_frame"
        self.drops = DropCounter()
        self.camera_clock = CameraClock()
        """The camera's own clock, with the number of rejected time stamps."""
        self._config = config
        self._scheme = scheme_of(config.url)
        self._redacted = redact(config.url)
        self._counter = FrameCounter(self.drops, vid_stride=config.vid_stride)
        self._converter = RgbConverter()
        self._timeline = LiveTimeline()
        self._recording = Recording(config.id, self._counter)
        self._stopped = threading.Event()
        self._gives_up = gives_up
        self.health = SourceHealth(is_live=self.is_live, frozen_seconds=config.frozen_seconds)
        self._is_recording = False

    def frames(self) -> Iterator[Frame]:
        """Yield frames, and reconnect whenever the connection is lost.

        Raises:
            SourceError: the stream did not respond within `open_timeout_seconds`, rejected the connection, or
                contains no video; or the connection was lost and `reconnect` is off.
        """
        reconnection = Reconnection(self._config, self.health, self._stopped, gives_up=self._gives_up)
        while not self._stopped.is_set():
            error: av.error.FFmpegError | SourceError | None = None
            try:
                with closing(self._connection(reconnection)) as frames:
                    for frame in frames:
                        yield frame
                        if self._stopped.is_set():
                            return
            except (av.error.FFmpegError, SourceError) as raised:
                error = raised
            if self._stopped.is_set():
                return
            if error is None and self._is_recording:
                if not self._config.loop:
                    return
                continue
            if error is None and reconnection.has_delivered and not self._config.reconnect:
                return
            reconnection.wait(failure_of(error))

    @property
    def mended(self) -> Counter[str]:
        """Number of discontinuities of the time stamps that were mended so far, by kind."""
        return self._timeline.mended + self._recording.mended

    def stop(self) -> None:
        """End `frames()`: immediately between two attempts, otherwise at the next packet or time-out."""
        self._stopped.set()

    def _connection(self, reconnection: Reconnection) -> Generator[Frame]:
        """Yield the frames of one connection until it ends or fails."""
        timeout_seconds = reconnection.connecting()
        options = stream_options(self._scheme, timeout_seconds)
        container, stream = open_video(
            self._config.url,
            name=self._redacted,
            options=options or {},
            timeout_seconds=timeout_seconds if options is None else None,
        )
        with closing(container):
            self._is_recording = self._scheme in ("http", "https") and container.duration is not None
            self._timeline.reconnected()
            yield from (self._play if self._is_recording else self._read)(container, stream, reconnection.received)

    def _play(
        self, container: InputContainer, stream: VideoStream, received: Callable[[float], None]
    ) -> Generator[Frame]:
        """Yield the frames of a recording, in real time unless every frame is wanted."""
        decoder = VideoDecoder(stream, self._counter, live=True, now_seconds=time.monotonic())
        playback = Playback(self._stopped) if self.is_live else None
        for timed in self._recording.frames(container, stream, decoder, _reported(container, stream, received)):
            if playback is not None and not playback.wait_until_due(timed.pts_seconds):
                self.drops.count("capture", "late")
            else:
                arrival = _Arrival(None, time.time_ns(), time.monotonic_ns())
                yield self._frame(
                    timed.decoded, timed.frame_index, timed.pts_seconds, arrival, sample_aspect_ratio(stream)
                )
            if self._stopped.is_set():
                return

    def _read(
        self, container: InputContainer, stream: VideoStream, received: Callable[[float], None]
    ) -> Generator[Frame]:
        decoder = VideoDecoder(stream, self._counter, live=True, now_seconds=time.monotonic())
        lag, backlog = ArrivalLag(), Backlog()
        is_held = _is_held_until_the_next(self._scheme, stream)
        released: _Arrival | None = None
        arrivals: dict[int | None, _Arrival] = {}
        waiting_since_ns = time.monotonic_ns()
        for packet in container.demux(stream):
            now = _Arrival(_camera_ns(packet), time.time_ns(), time.monotonic_ns())
            arrival = now
            if is_held and released is not None:
                # The first bytes of this packet released the previous one.
                arrival = _Arrival(now.camera_ns, released.wall_ns, released.monotonic_ns)
            released = now
            if packet.size:
                received(now.monotonic_ns / NS_PER_SECOND)
                arrivals[packet.pts] = arrival
                if len(arrivals) > 64:  # frames that the decoder never output
                    del arrivals[next(iter(arrivals))]
            arrived_seconds = now.monotonic_ns / NS_PER_SECOND
            lateness_seconds = lag.lateness_seconds(_stamp_seconds(packet), arrived_seconds)
            waited_seconds = (now.monotonic_ns - waiting_since_ns) / NS_PER_SECOND
            for decoded in decoder.decode(packet, arrived_seconds):
                frame_arrival = arrivals.pop(decoded.pts, arrival)
                pts_seconds = self._time(decoded.time, frame_arrival)
                index = self._counter.next_index()
                if index is None:
                    continue
                if self.is_live and backlog.should_drop(
                    lateness_seconds=lateness_seconds, waited_seconds=waited_seconds, now_seconds=arrived_seconds
                ):
                    self.drops.count("capture", "late")
                else:
                    yield self._frame(decoded, index, pts_seconds, frame_arrival, sample_aspect_ratio(stream))
            if self._stopped.is_set():
                return
            waiting_since_ns = time.monotonic_ns()

    def _time(self, stamp_seconds: float | None, arrival: _Arrival) -> float | None:
        """Return the time of a frame on the source's time line; the first mended stamp is logged."""
        num_mended = self._timeline.mended.total()
        seconds = self._timeline.at(stamp_seconds, arrival.monotonic_ns)
        if not num_mended and self._timeline.mended:
            logger.warning(
                "%s: %s by the time of arrival; further ones are not logged",
                self.source_id,
                describe_mended(self._timeline.mended),
            )
        return seconds

    def _frame(
        self,
        decoded: av.VideoFrame,
        index: int,
        pts_seconds: float | None,
        arrival: _Arrival,
        aspect_ratio: float,
    ) -> Frame:
        captured_ns, clock = self._capture_time(arrival)
        return Frame(
            image=self._converter.convert(decoded, sample_aspect_ratio=aspect_ratio),
            source_id=self.source_id,
            index=index,
            pts_seconds=pts_seconds,
            captured_ns=captured_ns,
            clock=clock,
            received_ns=arrival.monotonic_ns,
            lag_ns=arrival.wall_ns - captured_ns,
        )

    def _capture_time(self, arrival: _Arrival) -> tuple[int, Clock]:
        was_trusted = self.camera_clock.num_rejected == 0
        stamp = self.camera_clock.stamp(arrival.camera_ns, arrival.wall_ns)
        if was_trusted and self.camera_clock.rejected_offset_ns is not None:
            offset_seconds = self.camera_clock.rejected_offset_ns / NS_PER_SECOND
            logger.warning(
                "%s: the camera's clock is off by %+.1f s, using the time of arrival instead; synchronise it by NTP",
                self.source_id,
                offset_seconds,
            )
        return stamp


def _reported(
    container: InputContainer, stream: VideoStream, received: Callable[[float], None]
) -> Iterator[av.Packet[VideoStream]]:
    """Yield the packets, and report each that holds data."""
    for packet in container.demux(stream):
        if packet.size:
            received(time.monotonic_ns() / NS_PER_SECOND)
        yield packet


def _is_held_until_the_next(scheme: str, stream: VideoStream) -> bool:
    """Return whether FFmpeg holds each packet until the first bytes of the next one arrive.

    RTP marks the end of an access unit, but FFmpeg's parser of H.264 and H.265 recognises it only by the next one.
    """
    return scheme in ("rtsp", "rtsps", "rtp") and stream.codec_context.name in ("h264", "hevc")


def _camera_ns(packet: av.Packet[VideoStream]) -> int | None:
    """Return the camera's time of a packet in ns; None if the stream carries none."""
    return parse_prft(bytes(packet.get_sidedata("prft"))) if packet.has_sidedata("prft") else None


def _stamp_seconds(packet: av.Packet[VideoStream]) -> float | None:
    """Return the time stamp of a packet in decoding order, in seconds; None if it has none."""
    stamp = packet.pts if packet.dts is None else packet.dts
    return None if stamp is None or packet.time_base is None else float(stamp * packet.time_base)
