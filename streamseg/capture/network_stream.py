"""A network camera or another network stream as a source of frames."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import NamedTuple

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.capture.clock import NS_PER_SECOND, ArrivalLag, CameraClock, parse_prft
from streamseg.capture.decoder import RgbConverter, VideoDecoder, open_video
from streamseg.capture.display import sample_aspect_ratio
from streamseg.capture.pacing import Backlog, Playback
from streamseg.capture.recording import Recording
from streamseg.capture.source import Backoff, FrameCounter
from streamseg.capture.timeline import LiveTimeline, describe_mended
from streamseg.config import StreamSource
from streamseg.config.address import redact, scheme_of
from streamseg.errors import SourceError
from streamseg.structures.frame import Clock, Frame
from streamseg.telemetry import DropCounter

__all__ = ["NetworkStream", "stream_options"]

logger = logging.getLogger(__name__)

PERMANENT_ERRORS = (
    av.error.HTTPBadRequestError,
    av.error.HTTPForbiddenError,
    av.error.HTTPNotFoundError,
    av.error.HTTPUnauthorizedError,
    av.error.ProtocolNotFoundError,
)
"""Errors that a retry does not fix, if the stream has never delivered a packet."""

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

    def __init__(self, config: StreamSource) -> None:
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
        self._backoff = Backoff()
        self._has_delivered = False
        self._is_recording = False

    def frames(self) -> Iterator[Frame]:
        """Yield frames, and reconnect whenever the connection is lost.

        Raises:
            SourceError: the stream did not respond within `open_timeout_seconds`, rejected the connection, or
                contains no video; or the connection was lost and `reconnect` is off.
        """
        give_up_at = time.monotonic() + self._config.open_timeout_seconds
        while not self._stopped.is_set():
            failure: av.error.FFmpegError | None = None
            timeout_seconds = self._config.timeout_seconds
            if not self._has_delivered:
                timeout_seconds = min(timeout_seconds, max(give_up_at - time.monotonic(), 0.1))
            try:
                with closing(self._connection(timeout_seconds)) as frames:
                    for frame in frames:
                        yield frame
                        if self._stopped.is_set():
                            return
            except av.error.FFmpegError as error:
                failure = error
            if self._stopped.is_set():
                return
            if failure is None and self._is_recording:
                if not self._config.loop:
                    return
                continue
            if failure is None and self._has_delivered and not self._config.reconnect:
                return
            self._wait(failure, give_up_at)

    @property
    def mended(self) -> Counter[str]:
        """Number of discontinuities of the time stamps that were mended so far, by kind."""
        return self._timeline.mended + self._recording.mended

    def stop(self) -> None:
        """End `frames()`: immediately between two attempts, otherwise at the next packet or time-out."""
        self._stopped.set()

    def _wait(self, failure: av.error.FFmpegError | None, give_up_at: float) -> None:
        """Wait for the next attempt, or raise if another attempt cannot succeed.

        Call this outside any `except` block: FFmpeg's errors contain the address with its password and must
        not be chained to ours.
        """
        reason = "the stream ended" if failure is None else str(failure.strerror)
        now = time.monotonic()
        if not self._has_delivered:
            if isinstance(failure, PERMANENT_ERRORS):
                raise SourceError(f"{self._redacted} cannot be opened: {reason}; check the address, user and password")
            if now >= give_up_at or not self._config.reconnect:
                raise SourceError(
                    f"{self._redacted} did not respond within {self._config.open_timeout_seconds:g} s "
                    f"(last error: {reason}); check the address, or increase open_timeout_seconds"
                )
        elif not self._config.reconnect:
            raise SourceError(f"connection lost to {self._redacted}: {reason}; set reconnect: true to retry")
        delay_seconds = self._backoff.failed(now)
        if not self._has_delivered:
            delay_seconds = min(delay_seconds, give_up_at - now)
        state = "connection lost" if self._has_delivered else "no connection"
        logger.warning(
            "%s: %s to %s (%s), next try in %.1f s", self.source_id, state, self._redacted, reason, delay_seconds
        )
        self._stopped.wait(delay_seconds)

    def _connection(self, timeout_seconds: float) -> Generator[Frame]:
        """Yield the frames of one connection until it ends or fails."""
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
            yield from self._play(container, stream) if self._is_recording else self._read(container, stream)

    def _play(self, container: InputContainer, stream: VideoStream) -> Generator[Frame]:
        """Yield the frames of a recording, in real time unless every frame is wanted."""
        decoder = VideoDecoder(stream, self._counter, live=True, now_seconds=time.monotonic())
        playback = Playback(self._stopped) if self.is_live else None
        for timed in self._recording.frames(container, stream, decoder, self._packets(container, stream)):
            if playback is not None and not playback.wait_until_due(timed.pts_seconds):
                self.drops.count("capture", "late")
            else:
                arrival = _Arrival(None, time.time_ns(), time.monotonic_ns())
                yield self._frame(
                    timed.decoded, timed.frame_index, timed.pts_seconds, arrival, sample_aspect_ratio(stream)
                )
            if self._stopped.is_set():
                return

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        for packet in container.demux(stream):
            if packet.size:
                self._received_packet(time.monotonic_ns())
            yield packet

    def _read(self, container: InputContainer, stream: VideoStream) -> Generator[Frame]:
        decoder = VideoDecoder(stream, self._counter, live=True, now_seconds=time.monotonic())
        lag, backlog = ArrivalLag(), Backlog()
        arrivals: dict[int | None, _Arrival] = {}
        waiting_since_ns = time.monotonic_ns()
        for packet in container.demux(stream):
            arrival = _Arrival(_camera_ns(packet), time.time_ns(), time.monotonic_ns())
            if packet.size:
                self._received_packet(arrival.monotonic_ns)
                arrivals[packet.pts] = arrival
                if len(arrivals) > 64:  # frames that the decoder never output
                    del arrivals[next(iter(arrivals))]
            arrived_seconds = arrival.monotonic_ns / NS_PER_SECOND
            lateness_seconds = lag.lateness_seconds(_stamp_seconds(packet), arrived_seconds)
            waited_seconds = (arrival.monotonic_ns - waiting_since_ns) / NS_PER_SECOND
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

    def _received_packet(self, now_ns: int) -> None:
        self._has_delivered = True
        self._backoff.connected(now_ns / NS_PER_SECOND)


def _camera_ns(packet: av.Packet[VideoStream]) -> int | None:
    """Return the camera's time of a packet in ns; None if the stream carries none."""
    return parse_prft(bytes(packet.get_sidedata("prft"))) if packet.has_sidedata("prft") else None


def _stamp_seconds(packet: av.Packet[VideoStream]) -> float | None:
    """Return the time stamp of a packet in decoding order, in seconds; None if it has none."""
    stamp = packet.pts if packet.dts is None else packet.dts
    return None if stamp is None or packet.time_base is None else float(stamp * packet.time_base)
