"""A small RTSP camera: H.264 or H.265 over interleaved TCP, with sender reports, at the pace that a test sets."""

from __future__ import annotations

import base64
import re
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.rtp_packets import SSRC, payloads, rtp
from tests.support.videos import write_video

CLOCK_RATE = 90_000
"""Clock rate of RTP time stamps of video in Hz (RFC 6184)."""
START_STAMP = 1_000_000
"""RTP time stamp of frame 0."""
NTP_EPOCH_SECONDS = 2_208_988_800
"""Seconds from the NTP epoch (1900) to the Unix epoch (1970)."""
ENCODERS = {"h264": "libx264", "hevc": "libx265"}
START_CODE = re.compile(rb"\x00\x00\x00?\x01")


def encoded_frames(
    num_frames: int, *, size: tuple[int, int] = (96, 128), key_every: int = 10, codec: str = "h264"
) -> list[list[bytes]]:
    """Return numbered images as NAL units, one list per frame."""
    import av

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"video.{codec}"
        write_video(path, num_frames, size=size, key_every=key_every, codec=ENCODERS[codec])
        with av.open(str(path)) as container:
            packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    return [[unit for unit in START_CODE.split(packet) if unit] for packet in packets]


@dataclass
class Step:
    """One action of the camera while it plays."""

    wait_seconds: float = 0.0
    """Delay in seconds before the other actions."""
    frame: int | None = None
    """Index of the frame to send; its time stamp is the index over `fps`."""
    report_offset_seconds: float | None = None
    """Age in seconds of frame 0 on the camera's clock, to send in a sender report."""


def play(frames: Sequence[int], *, report: float | None = None, wait: float = 0.0) -> list[Step]:
    """Return the steps that send frames one after the other, after an optional report and delay."""
    first = [] if report is None else [Step(report_offset_seconds=report)]
    return first + [Step(frame=frame, wait_seconds=wait if not place else 0.0) for place, frame in enumerate(frames)]


@dataclass
class RtspCamera:
    """Camera that serves one connection at a time; pass `serve` to a `LoopbackServer`.

    Each connection plays the next script, or the last one again. After its script a connection stays
    open until `finished` returns, and is then closed.
    """

    scripts: Sequence[Sequence[Step]]
    encoded: Sequence[list[bytes]]
    """NAL units of each frame."""
    finished: Callable[[], object]
    """Block until the connection may end."""
    wait: Callable[[float], object]
    """Wait for a number of seconds."""
    fps: float = 5.0
    """Frames per second of the time stamps. Low by default: sent at once, the frames are too early to count as late,
    even on a busy machine."""
    codec: str = "h264"
    """Name of the codec in FFmpeg: h264 or hevc."""
    payload_bytes: int = 1400
    """Bytes of a NAL unit in one packet."""
    status: str = "200 OK"
    """Response to DESCRIBE."""
    num_played: int = 0
    report_wall_ns: list[int] = field(default_factory=list)
    """Wall clock (ns) of frame 0 in each sender report."""

    def serve(self, connection: socket.socket) -> None:
        """Respond to requests until PLAY, then play the script."""
        script = self.scripts[min(self.num_played, len(self.scripts) - 1)]
        reader = connection.makefile("rb")
        method = ""
        while method != "PLAY":
            request = reader.readline().decode()
            if not request:
                return
            method, url, _ = request.split()
            headers = {}
            while line := reader.readline().decode().strip():
                key, _, value = line.partition(": ")
                headers[key.lower()] = value
            self._respond(connection, method, url, headers)
        self.num_played += 1
        # What no delay separates is sent at once: it must arrive at once on a busy machine, too.
        sequence, unsent = 0, bytearray()
        for step in script:
            if step.wait_seconds:
                connection.sendall(unsent)
                unsent.clear()
                self.wait(step.wait_seconds)
            if step.report_offset_seconds is not None:
                unsent += self._report(step.report_offset_seconds)
            if step.frame is not None:
                packets = self._packets(step.frame, sequence)
                sequence += len(packets)
                unsent += b"".join(packets)
        connection.sendall(unsent)
        self.finished()
        connection.shutdown(socket.SHUT_RDWR)

    def _respond(self, connection: socket.socket, method: str, url: str, headers: dict[str, str]) -> None:
        status, extra, body = "200 OK", "", ""
        if method == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            status = self.status
            body = self._description() if status == "200 OK" else ""
            extra = f"Content-Base: {url}/\r\nContent-Type: application/sdp\r\n"
        elif method == "SETUP":
            extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        elif method == "PLAY":
            extra = "Session: 1\r\nRange: npt=0.000-\r\n"
        head = f"RTSP/1.0 {status}\r\nCSeq: {headers['cseq']}\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
        connection.sendall((head + body).encode())

    def _description(self) -> str:
        encoding, parameters = "H265", ""
        if self.codec == "h264":
            parameter_sets = [unit for unit in self.encoded[0] if unit[0] & 31 in (7, 8)]
            coded = ",".join(base64.b64encode(unit).decode() for unit in parameter_sets)
            encoding = "H264"
            parameters = f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={coded}\r\n"
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\na=control:*\r\n"
            f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {encoding}/90000\r\n{parameters}a=control:track1\r\n"
        )

    def _packets(self, frame: int, sequence: int) -> list[bytes]:
        """Return the packets of a frame, beginning with this sequence number, each on its channel."""
        return self._packets_at(frame, sequence, frame)

    def _packets_at(self, frame: int, sequence: int, periods: float) -> list[bytes]:
        """Return the packets of a frame that was captured so many frame periods after frame 0."""
        stamp = START_STAMP + round(periods / self.fps * CLOCK_RATE)
        parts = payloads(self.encoded[frame], self.codec, size=self.payload_bytes)
        return [
            _interleaved(0, rtp(part, sequence=sequence + place, stamp=stamp, marker=place == len(parts) - 1))
            for place, part in enumerate(parts)
        ]

    def _report(self, offset_seconds: float) -> bytes:
        first_ns = time.time_ns() - round(offset_seconds * 1e9)
        self.report_wall_ns.append(first_ns)
        seconds, rest = divmod(first_ns, 1_000_000_000)
        packet = struct.pack(
            ">BBHIIIIII",
            0x80,
            200,
            6,
            SSRC,
            seconds + NTP_EPOCH_SECONDS,
            (rest << 32) // 1_000_000_000,
            START_STAMP,
            1,
            1,
        )
        return _interleaved(1, packet)


def _interleaved(channel: int, packet: bytes) -> bytes:
    return struct.pack(">cBH", b"$", channel, len(packet)) + packet
