"""A camera or another stream on the network as a source of frames."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import NamedTuple

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.capture.address import redact, scheme_of
from streamseg.capture.clock import NS_PER_SECOND, ArrivalLag, Backlog, CameraClock, parse_prft
from streamseg.capture.container import open_video, start_seconds
from streamseg.capture.decoder import ImageDecoder, RgbConverter
from streamseg.capture.numbering import Numbering
from streamseg.capture.pacing import Playback
from streamseg.capture.reconnect import Backoff
from streamseg.config import StreamSource
from streamseg.errors import SourceError
from streamseg.structures.frame import Clock, Frame
from streamseg.telemetry import DropCounter

__all__ = ["NetworkStream", "stream_options"]

logger = logging.getLogger(__name__)

HOPELESS = (
    av.error.HTTPBadRequestError,
    av.error.HTTPForbiddenError,
    av.error.HTTPNotFoundError,
    av.error.HTTPUnauthorizedError,
    av.error.ProtocolNotFoundError,
)
"""Answers that trying again does not change, from a stream that has never been seen."""

ANALYSE_MICROSECONDS = "1000000"
"""How much of a stream FFmpeg may look at before it begins; of itself it takes up to 5 s of a live one."""


def stream_options(scheme: str, timeout_seconds: float) -> dict[str, str] | None:
    """What FFmpeg is told for a protocol; None for one that is not known to have a time-out of its own.

    RTSP runs over TCP and asks for video only: many a reader ends at the odd coding of a camera's sound.
    Its session description names the video's coding, so nothing needs to be analysed and the first
    keyframe is shown when it arrives; FFmpeg's usual advice, `fflags=nobuffer`, throws that one away.
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
    """What is known of a packet, until its picture comes out of the decoder."""

    camera_ns: int | None
    wall_ns: int
    monotonic_ns: int


class NetworkStream:
    """Delivers the pictures of a camera, and finds it again when it is lost.

    FFmpeg cannot be called out of a read, so a silent connection ends after `timeout_seconds`, and
    `stop` takes effect at the next packet or then. Presentation times start anew with each connection;
    the picture's size may change at any time. A recording that is served over HTTP is played at its
    own pace (in mode every_frame: as fast as it comes), and ends.
    """

    def __init__(self, config: StreamSource) -> None:
        self.source_id = config.id
        self.frame_id = config.frame_id
        self.is_live = config.mode != "every_frame"
        self.drops = DropCounter()
        self.camera_clock = CameraClock()
        """What became of the camera's own time stamps."""
        self._config = config
        self._scheme = scheme_of(config.url)
        self._shown = redact(config.url)
        self._numbering = Numbering(self.drops, vid_stride=config.vid_stride)
        self._converter = RgbConverter()
        self._stopped = threading.Event()
        self._backoff = Backoff()
        self._was_seen = False
        self._is_recording = False

    def frames(self) -> Iterator[Frame]:
        """Yield pictures, connecting again whenever the connection is lost.

        Raises:
            SourceError: the stream never answered within `open_timeout_seconds`, refused, or holds no
                video; or it was lost and `reconnect` is off.
        """
        give_up_at = time.monotonic() + self._config.open_timeout_seconds
        while not self._stopped.is_set():
            failure: av.error.FFmpegError | None = None
            timeout_seconds = self._config.timeout_seconds
            if not self._was_seen:
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
            if failure is None and self._was_seen and not self._config.reconnect:
                return
            self._wait(failure, give_up_at)

    def stop(self) -> None:
        """End `frames()`: at once while it waits to try again, else at the next packet or time-out."""
        self._stopped.set()

    def _wait(self, failure: av.error.FFmpegError | None, give_up_at: float) -> None:
        """Wait for the next try, or raise where there is no hope.

        Called outside of any `except`: FFmpeg's own errors hold the address with its password, and must not
        be chained to ours.
        """
        reason = "the stream ended" if failure is None else str(failure.strerror)
        now = time.monotonic()
        if not self._was_seen:
            if isinstance(failure, HOPELESS):
                raise SourceError(f"{self._shown} cannot be opened: {reason}; check the address, user and password")
            if now >= give_up_at or not self._config.reconnect:
                raise SourceError(
                    f"{self._shown} has not answered within {self._config.open_timeout_seconds:g} s "
                    f"(at last: {reason}); check the address, or raise open_timeout_seconds"
                )
        elif not self._config.reconnect:
            raise SourceError(f"{self._shown} was lost: {reason}; with reconnect: true it would be tried again")
        delay_seconds = self._backoff.failed(now)
        if not self._was_seen:
            delay_seconds = min(delay_seconds, give_up_at - now)
        state = "connection lost" if self._was_seen else "no connection"
        logger.warning(
            "%s: %s to %s (%s), next try in %.1f s", self.source_id, state, self._shown, reason, delay_seconds
        )
        self._stopped.wait(delay_seconds)

    def _connection(self, timeout_seconds: float) -> Generator[Frame]:
        """One connection: its frames, until it ends or fails."""
        options = stream_options(self._scheme, timeout_seconds)
        container, stream = open_video(
            self._config.url,
            name=self._shown,
            options=options or {},
            timeout_seconds=timeout_seconds if options is None else None,
        )
        with closing(container):
            self._is_recording = self._scheme in ("http", "https") and container.duration is not None
            yield from self._read(container, stream)

    def _read(self, container: InputContainer, stream: VideoStream) -> Generator[Frame]:
        decoder = ImageDecoder(stream, self._numbering, live=True, now_seconds=time.monotonic())
        playback = Playback(self._stopped) if self._is_recording and self.is_live else None
        first_seconds = start_seconds(stream)
        lag, backlog = ArrivalLag(), Backlog()
        arrivals: dict[int | None, _Arrival] = {}
        waiting_since_ns = time.monotonic_ns()
        for packet in container.demux(stream):
            arrival = _Arrival(_camera_ns(packet), time.time_ns(), time.monotonic_ns())
            if packet.size:
                self._answered(arrival.monotonic_ns)
                arrivals[packet.pts] = arrival
                if len(arrivals) > 64:  # pictures that never came out
                    del arrivals[next(iter(arrivals))]
            arrived_seconds = arrival.monotonic_ns / NS_PER_SECOND
            lateness_seconds = lag.lateness_seconds(_stamp_seconds(packet), arrived_seconds)
            waited_seconds = (arrival.monotonic_ns - waiting_since_ns) / NS_PER_SECOND
            for picture in decoder.decode(packet, arrived_seconds):
                own = arrivals.pop(picture.pts, arrival)
                if first_seconds is None:
                    first_seconds = picture.time
                pts_seconds = None if picture.time is None else picture.time - (first_seconds or 0.0)
                index = self._numbering.take()
                if index is None:
                    continue
                if playback is not None:
                    late = not playback.show(pts_seconds)
                    own = _Arrival(None, time.time_ns(), time.monotonic_ns())
                else:
                    late = self.is_live and backlog.leaves_out(
                        lateness_seconds=lateness_seconds, waited_seconds=waited_seconds, now_seconds=arrived_seconds
                    )
                if late:
                    self.drops.count("capture", "late")
                else:
                    yield self._frame(picture, index, pts_seconds, own)
            if self._stopped.is_set():
                return
            waiting_since_ns = time.monotonic_ns()

    def _frame(self, picture: av.VideoFrame, index: int, pts_seconds: float | None, arrival: _Arrival) -> Frame:
        captured_ns, clock = self._captured(arrival)
        return Frame(
            image=self._converter.convert(picture),
            source_id=self.source_id,
            index=index,
            pts_seconds=pts_seconds,
            captured_ns=captured_ns,
            clock=clock,
            received_ns=arrival.monotonic_ns,
        )

    def _captured(self, arrival: _Arrival) -> tuple[int, Clock]:
        believed = self.camera_clock.num_rejected == 0
        stamp = self.camera_clock.stamp(arrival.camera_ns, arrival.wall_ns)
        if believed and self.camera_clock.rejected_offset_ns is not None:
            offset_seconds = self.camera_clock.rejected_offset_ns / NS_PER_SECOND
            logger.warning(
                "%s: the camera's clock is off by %+.1f s; the time of arrival is used instead; set its clock by NTP",
                self.source_id,
                offset_seconds,
            )
        return stamp

    def _answered(self, now_ns: int) -> None:
        self._was_seen = True
        self._backoff.connected(now_ns / NS_PER_SECOND)


def _camera_ns(packet: av.Packet[VideoStream]) -> int | None:
    """The camera's time of a packet, where the stream carries one."""
    return parse_prft(bytes(packet.get_sidedata("prft"))) if packet.has_sidedata("prft") else None


def _stamp_seconds(packet: av.Packet[VideoStream]) -> float | None:
    """A packet's time in order of coding."""
    stamp = packet.pts if packet.dts is None else packet.dts
    return None if stamp is None or packet.time_base is None else float(stamp * packet.time_base)
