"""Packets of live streams from FFmpeg's demuxers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.capture.clock import NS_PER_SECOND, CameraTime, parse_prft
from streamseg.capture.live_packet import Arrival, LivePacket

__all__ = ["demuxed", "reported", "stream_options"]

ANALYSE_MICROSECONDS = "1000000"
"""Maximum duration that FFmpeg may analyse before it starts, in µs; its default for a live stream is up to 5 s."""


def stream_options(scheme: str, timeout_seconds: float, *, transport: str = "auto") -> dict[str, str] | None:
    """Return FFmpeg's options for a protocol; None if the protocol has no known time-out of its own.

    RTSP runs over TCP unless UDP is requested, and requests video only, because many readers fail at the unusual
    audio codec of a camera. Its session description declares the video codec. Thus no analysis is needed, and the first
    keyframe is delivered when it arrives; the common advice `fflags=nobuffer` discards that keyframe.
    Time-outs are in µs: `timeout` for RTSP and UDP, `rw_timeout` for FFmpeg's byte streams.
    """
    microseconds = str(round(timeout_seconds * 1e6))
    if scheme in ("rtsp", "rtsps"):
        return {
            "rtsp_transport": "udp" if transport == "udp" else "tcp",
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


def demuxed(
    container: InputContainer, stream: VideoStream, scheme: str, wall_ns: Callable[[], int] = time.time_ns
) -> Iterator[LivePacket]:
    """Yield the packets of a stream as they arrive; the last one is empty and flushes the decoder.

    RTP marks the end of an access unit, but FFmpeg's parser of H.264 and H.265 recognises it only by the next one. The
    arrival of such a packet is therefore the release of the previous one, which its first bytes caused.
    """
    is_held = scheme in ("rtsp", "rtsps", "rtp") and stream.codec_context.name in ("h264", "hevc")
    released: Arrival | None = None
    for packet in container.demux(stream):
        now = Arrival(_camera_time(packet), wall_ns(), time.monotonic_ns())
        arrival = now if released is None or not is_held else released._replace(camera=now.camera)
        released = now
        yield LivePacket(packet, arrival, now.monotonic_ns)


def reported(
    container: InputContainer, stream: VideoStream, received: Callable[[float], None]
) -> Iterator[av.Packet[VideoStream]]:
    """Yield the packets, and report each that holds data."""
    for packet in container.demux(stream):
        if packet.size:
            received(time.monotonic_ns() / NS_PER_SECOND)
        yield packet


def _camera_time(packet: av.Packet[VideoStream]) -> CameraTime | None:
    """Return the camera's time of a packet; None if the stream carries none."""
    wall_ns = parse_prft(bytes(packet.get_sidedata("prft"))) if packet.has_sidedata("prft") else None
    return None if wall_ns is None else CameraTime(wall_ns)
