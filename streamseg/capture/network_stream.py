"""A network camera or another network stream as a source of frames."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamseg.capture.clock import NS_PER_SECOND, ArrivalLag, CameraClock
from streamseg.capture.decoder import RgbConverter, VideoDecoder, open_video
from streamseg.capture.demuxer import demuxed, reported, stream_options
from streamseg.capture.display import sample_aspect_ratio
from streamseg.capture.hardware import hardware_decoder
from streamseg.capture.health import SourceHealth
from streamseg.capture.live_packet import Arrival, LivePacket
from streamseg.capture.live_times import LiveTimes
from streamseg.capture.on_demand import OnDemandDecoder
from streamseg.capture.pacing import Backlog, Playback
from streamseg.capture.reconnection import Reconnection, failure_of
from streamseg.capture.recording import Recording
from streamseg.capture.rtsp.description import UnsupportedStreamError
from streamseg.capture.rtsp.video import TRANSPORTS, RtspVideo
from streamseg.capture.source import FrameCounter, Unwanted, wanted
from streamseg.config import StreamSource
from streamseg.config.address import scheme_of
from streamseg.redaction import redact
from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["NetworkStream"]

logger = logging.getLogger(__name__)


class NetworkStream:
    """Source that delivers the frames of a network camera, and reconnects when the connection is lost.

    H.264 and H.265 over RTSP are received by `RtspVideo`, which `stop` interrupts, and everything else by FFmpeg, whose
    reads end at the next packet or after `timeout_seconds`. Presentation times continue over connections by the time of
    arrival, and the image size may change at any time. A recording served over HTTP is played in real time (in
    mode every_frame: as fast as it arrives) and has an end.
    """

    def __init__(
        self, config: StreamSource, *, gives_up: bool = True, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """Create a source; `frames()` connects.

        Args:
            config: address and time-outs.
            gives_up: a stream that was never received fails after `open_timeout_seconds`, or when it rejects the
                connection; False: it is retried until the source is stopped.
            wall_ns: our wall clock, ns since the Unix epoch.

        Raises:
            SourceError: `decode` requests a GPU that cannot be opened.
        """
        self._wall_ns = wall_ns
        self.source_id = config.id
        self.frame_id = config.frame_id
        self.is_live = config.mode != "every_frame"
        self.drops = DropCounter()
        self.unwanted: Unwanted = wanted
        self._times = LiveTimes(config.id)
        self._config = config
        self._scheme = scheme_of(config.url)
        self._redacted = redact(config.url)
        self._hardware = hardware_decoder(config.decode, name=self._redacted)
        self._counter = FrameCounter(self.drops, vid_stride=config.vid_stride)
        self._converter = RgbConverter()
        self._recording = Recording(config.id, self._counter)
        self._stopped = threading.Event()
        self._gives_up = gives_up
        self.health = SourceHealth(is_live=self.is_live, frozen_seconds=config.frozen_seconds)
        self._is_recording = False
        self._reads_rtp = self._scheme == "rtsp" and config.reader == "rtp"

    def frames(self) -> Iterator[Frame]:
        """Yield frames, and reconnect whenever the connection is lost.

        Raises:
            SourceError: the stream did not respond within `open_timeout_seconds`, rejected the connection, or
                contains no video; or the connection was lost and `reconnect` is off.
        """
        reconnection = Reconnection(self._config, self.health, self._stopped, gives_up=self._gives_up)
        while not self._stopped.is_set():
            error: av.error.FFmpegError | OSError | None = None
            try:
                with closing(self._connection(reconnection)) as frames:
                    for frame in frames:
                        yield frame
                        if self._stopped.is_set():
                            return
            except (av.error.FFmpegError, OSError) as raised:
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
        return self._times.mended + self._recording.mended

    @property
    def camera_clock(self) -> CameraClock:
        """The camera's own clock, with the number of rejected time stamps."""
        return self._times.camera_clock

    def stop(self) -> None:
        """End `frames()`: immediately between two attempts, otherwise at the next packet or time-out."""
        self._stopped.set()

    def _connection(self, reconnection: Reconnection) -> Generator[Frame]:
        """Yield the frames of one connection until it ends or fails."""
        timeout_seconds = reconnection.connecting()
        self._times.reconnected()
        if self._reads_rtp:
            try:
                response_seconds = min(reconnection.response_seconds, timeout_seconds)
                yield from self._receive(timeout_seconds, response_seconds, reconnection.received)
                return
            except UnsupportedStreamError as error:
                logger.info("%s: read by FFmpeg: %s", self.source_id, error)
                self._reads_rtp = False
        options = stream_options(self._scheme, timeout_seconds, transport=self._config.transport)
        container, stream = open_video(
            self._config.url,
            name=self._redacted,
            options=options or {},
            timeout_seconds=timeout_seconds if options is None else None,
            hardware=self._hardware,
        )
        with closing(container):
            self._is_recording = self._scheme in ("http", "https") and container.duration is not None
            if self._is_recording:
                yield from self._play(container, stream, reconnection.received)
            else:
                decoder = VideoDecoder(stream.codec_context, self._counter, live=True, now_seconds=time.monotonic())
                packets = demuxed(container, stream, self._scheme, self._wall_ns)
                yield from self._read(packets, decoder, stream, reconnection.received)

    def _receive(
        self, timeout_seconds: float, response_seconds: float, received: Callable[[float], None]
    ) -> Generator[Frame]:
        """Yield the frames of an RTSP session without FFmpeg's demuxer.

        Raises:
            UnsupportedStreamError: the video is neither H.264 nor H.265.
        """
        with closing(
            RtspVideo(
                self._config.url,
                name=self._redacted,
                transports=TRANSPORTS[self._config.transport],
                timeout_seconds=timeout_seconds,
                response_seconds=response_seconds,
                stopped=self._stopped,
                wall_ns=self._wall_ns,
                hardware=self._hardware,
            )
        ) as video:
            context = video.open()
            decoder = VideoDecoder(context, self._counter, live=True, now_seconds=time.monotonic())
            yield from self._read(video.packets(), decoder, context, received)

    def _play(
        self, container: InputContainer, stream: VideoStream, received: Callable[[float], None]
    ) -> Generator[Frame]:
        """Yield the frames of a recording, in real time unless every frame is wanted."""
        decoder = VideoDecoder(stream.codec_context, self._counter, live=True, now_seconds=time.monotonic())
        playback = Playback(self._stopped) if self.is_live else None
        for timed in self._recording.frames(container, stream, decoder, reported(container, stream, received)):
            reason = None
            if playback is not None:
                reason = self.unwanted() if playback.wait_until_due(timed.pts_seconds) else "late"
            if reason is not None:
                self.drops.count("capture", reason)
            else:
                arrival = Arrival(None, self._wall_ns(), time.monotonic_ns())
                yield self._frame(
                    timed.decoded, timed.frame_index, timed.pts_seconds, arrival, sample_aspect_ratio(stream)
                )
            if self._stopped.is_set():
                return

    def _read(
        self,
        packets: Iterable[LivePacket],
        decoder: VideoDecoder,
        video: VideoStream | VideoCodecContext,
        received: Callable[[float], None],
    ) -> Generator[Frame]:
        """Yield the frames of a live stream; late ones are dropped, unless every frame is wanted."""
        lag, backlog = ArrivalLag(), Backlog()
        frames = OnDemandDecoder(decoder, self._counter, self.unwanted if self.is_live else wanted)
        arrivals: dict[int | None, Arrival] = {}
        waiting_since_ns = time.monotonic_ns()
        for live in packets:
            packet, arrival, released_ns = live.packet, live.arrival, live.released_ns
            released_seconds = released_ns / NS_PER_SECOND
            if live.is_damaged:
                frames.lose(released_seconds)
                continue
            if packet.size:
                received(released_seconds)
                arrivals[packet.pts] = arrival
                if len(arrivals) > 64:  # frames that the decoder never output
                    del arrivals[next(iter(arrivals))]
            lateness_seconds = lag.lateness_seconds(live.stamp_seconds, released_seconds)
            has_newer = live.has_newer
            if has_newer is None:
                has_newer = backlog.has_newer((released_ns - waiting_since_ns) / NS_PER_SECOND)
            for decoded in frames.decode(packet, released_seconds):
                frame_arrival = arrivals.pop(decoded.pts, arrival)
                pts_seconds = self._times.pts_seconds(decoded.time, frame_arrival)
                index = self._counter.next_index()
                if index is None:
                    continue
                if self.is_live and backlog.should_drop(
                    lateness_seconds=lateness_seconds, has_newer=has_newer, now_seconds=released_seconds
                ):
                    self.drops.count("capture", "late")
                else:
                    yield self._frame(decoded, index, pts_seconds, frame_arrival, sample_aspect_ratio(video))
            if self._stopped.is_set():
                return
            waiting_since_ns = time.monotonic_ns()

    def _frame(
        self,
        decoded: av.VideoFrame,
        index: int,
        pts_seconds: float | None,
        arrival: Arrival,
        aspect_ratio: float,
    ) -> Frame:
        lag_ns, clock = self._times.lag(arrival)
        return Frame(
            image=cast(ImageArray, self._converter.image(decoded, sample_aspect_ratio=aspect_ratio)),
            source_id=self.source_id,
            index=index,
            pts_seconds=pts_seconds,
            captured_ns=arrival.wall_ns - lag_ns,
            clock=clock,
            received_ns=arrival.monotonic_ns,
            lag_ns=lag_ns,
        )
