"""Video of an RTSP session: packets for the decoder, each complete and with its times."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from typing import Final
from urllib.parse import urljoin

import av
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext

from streamseg.capture.clock import wall_ns_at
from streamseg.capture.live_packet import Arrival, LivePacket
from streamseg.capture.rtsp.connection import Received, RtspConnection
from streamseg.capture.rtsp.depacketizer import START_CODE, AccessUnit, Depacketizer
from streamseg.capture.rtsp.nal_units import FORMATS
from streamseg.capture.rtsp.rtp import OrderedPacket, PacketOrder, parse_rtp
from streamseg.capture.rtsp.sender_clock import SenderClock, StampUnwrapper, has_goodbye, parse_rtcp
from streamseg.capture.rtsp.session import RedirectError, Transport, split_address

__all__ = ["TRANSPORTS", "RtspVideo"]

TRANSPORTS: Final[dict[str, tuple[Transport, ...]]] = {"tcp": ("tcp",), "udp": ("udp",), "auto": ("tcp", "udp")}
"""Transports to try for each configured value: auto prefers TCP, which loses nothing."""
MOST_REDIRECTS: Final = 3
UDP_DEPTH: Final = 128
"""Number of packets that may overtake a missing one over UDP."""
UDP_LONGEST_NS: Final = 30_000_000
"""Longest wait for a packet that others have overtaken, in ns: networks reorder within a few milliseconds."""


class RtspVideo:
    """Source of the packets of one RTSP session with H.264 or H.265.

    `open`, then iterate over `packets`, then `close`.

    Args:
        url: the address; only its redacted form `name` appears in errors.
        name: the name of the source for error messages.
        transports: transports in order of preference.
        timeout_seconds: time-out of silence.
        response_seconds: time-out of the connection and of each response.
        stopped: ends all waits.
        wall_ns: our wall clock, ns since the Unix epoch.
        hardware: decodes on a GPU, see `hardware_decoder`; None for the CPU.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        transports: tuple[Transport, ...],
        timeout_seconds: float,
        response_seconds: float,
        stopped: threading.Event,
        wall_ns: Callable[[], int] = time.time_ns,
        hardware: HWAccel | None = None,
    ) -> None:
        self._wall_ns = wall_ns
        self._hardware = hardware
        self._response_seconds = response_seconds
        self._address = split_address(url)
        self._name = name
        self._transports = transports
        self._timeout_seconds = timeout_seconds
        self._stopped = stopped
        self._connect()

    def open(self) -> VideoCodecContext:
        """Connect and play; return a decoder of the video.

        Raises:
            UnsupportedStreamError: the video is neither H.264 nor H.265.
            SourceError: the server rejected a request, or sends no video.
            OSError: the connection failed, was lost, or was silent.
        """
        for redirect in range(MOST_REDIRECTS + 1):
            try:
                first = next(self._received, None)
            except RedirectError as error:
                if redirect == MOST_REDIRECTS:
                    raise
                self._redirect(error.url)
            else:
                break
        if first is None:
            raise ConnectionResetError("the camera closed the connection")
        self._first = first
        track = self._connection.session.track
        self._track = track
        context = VideoCodecContext.create(track.codec, "r", hwaccel=self._hardware)
        if track.parameter_sets:
            context.extradata = b"".join(START_CODE + unit for unit in track.parameter_sets)
        return context

    def packets(self) -> Generator[LivePacket]:
        """Yield the access units as they become complete, until the server ends the stream.

        Raises:
            OSError: the connection was lost, or was silent.
        """
        track = self._track
        is_ordered = self._connection.session.transport == "tcp"
        order = PacketOrder() if is_ordered else PacketOrder(depth=UDP_DEPTH, longest_ns=UDP_LONGEST_NS)
        depacketizer, clock = Depacketizer(FORMATS[track.codec]), SenderClock(track.clock_rate)
        unwrapper, time_base = StampUnwrapper(), Fraction(1, track.clock_rate)
        for received in self._all():
            if received.is_control:
                for report in parse_rtcp(received.data):
                    clock.report(report)
                if has_goodbye(received.data):
                    return
                continue
            for ordered in self._ordered(received, order):
                for unit in depacketizer.add(ordered):
                    yield _live_packet(unit, clock, unwrapper, time_base, self._wall_ns, has_newer=received.has_newer)

    def close(self) -> None:
        """End the session and close all sockets. Idempotent."""
        self._received.close()
        self._connection.close()

    def _connect(self) -> None:
        self._connection = RtspConnection(
            self._address,
            name=self._name,
            transports=self._transports,
            timeout_seconds=self._timeout_seconds,
            response_seconds=self._response_seconds,
            stopped=self._stopped,
        )
        self._received = self._connection.packets()

    def _redirect(self, url: str) -> None:
        """Connect to another address; it receives user and password only if it is on the same host."""
        self.close()
        address = split_address(urljoin(self._address.url, url))
        if address.host == self._address.host and address.credentials is None:
            address = address._replace(credentials=self._address.credentials)
        self._address = address
        self._connect()

    def _all(self) -> Iterator[Received]:
        yield self._first
        yield from self._received

    def _ordered(self, received: Received, order: PacketOrder) -> Iterator[OrderedPacket]:
        """Yield the packets of the video whose turn it is."""
        packet = parse_rtp(received.data)
        if packet is None or packet.payload_type != self._track.payload_type:
            yield from order.flush(received.arrived_ns)
        else:
            yield from order.add(packet, received.arrived_ns)


def _live_packet(
    unit: AccessUnit,
    clock: SenderClock,
    unwrapper: StampUnwrapper,
    time_base: Fraction,
    wall_ns: Callable[[], int],
    *,
    has_newer: bool,
) -> LivePacket:
    packet = av.Packet(unit.data)
    packet.pts = unwrapper.unwrap(unit.stamp)
    packet.time_base = time_base
    packet.is_keyframe = unit.is_key
    # One right after the other: whatever happens in between is an error of the time of arrival.
    now_ns, now_wall_ns = time.monotonic_ns(), wall_ns()
    arrived_wall_ns = wall_ns_at(unit.arrived_ns, now_monotonic_ns=now_ns, now_wall_ns=now_wall_ns)
    arrival = Arrival(clock.at(unit.stamp), arrived_wall_ns, unit.arrived_ns)
    return LivePacket(packet, arrival, now_ns, unit.is_damaged, has_newer)
