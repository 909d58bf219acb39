"""Decoding of a live stream on demand: packets are kept until a frame is wanted."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import av

from streamseg.capture.decoder import VideoDecoder
from streamseg.capture.source import FrameCounter, Unwanted

__all__ = ["OnDemandDecoder"]

MOST_PACKETS: Final = 64
"""Maximum number of packets that are kept; a stream with rarer keyframes is decoded this far behind."""


class OnDemandDecoder:
    """Decoder of a live stream that decodes only what wanted frames need.

    Packets are kept until the next wanted frame, which is that of the newest packet. A keyframe replaces all packets
    before it. Of the others, those that no frame refers to are not decoded. Every frame that is not delivered is
    counted as a drop, as soon as it is known.

    Args:
        decoder: the decoder.
        counter: counter of the source's frames.
        unwanted: asked once per packet.
    """

    def __init__(self, decoder: VideoDecoder, counter: FrameCounter, unwanted: Unwanted) -> None:
        self._decoder = decoder
        self._counter = counter
        self._unwanted = unwanted
        self._kept: deque[av.Packet[Any]] = deque()
        self._reason = ""
        """Why the latest kept packet was not wanted."""

    def decode(self, packet: av.Packet[Any], now_seconds: float) -> list[av.VideoFrame]:
        """Add a packet; return the frames to deliver, often one or none. An empty packet flushes the decoder."""
        reason = self._unwanted() if packet.size else None
        was_behind = bool(self._kept)
        if was_behind and packet.size and packet.is_keyframe:
            self._discard()
            self._decoder.skip()
        if reason is not None:
            self._reason = reason
            self._kept.append(packet)
            if len(self._kept) > MOST_PACKETS:
                self._decode_kept(now_seconds)
            return []
        while self._kept:
            self._decode_kept(now_seconds)
        frames = self._decoder.decode(packet, now_seconds)
        if was_behind:
            for _ in frames[:-1]:
                self._counter.drop(self._reason)
            del frames[:-1]
        return frames

    def lose(self, now_seconds: float) -> None:
        """Report a packet that did not arrive completely."""
        self._discard()  # nothing is decoded before the next keyframe
        self._decoder.lose(now_seconds)

    def _discard(self) -> None:
        for _ in self._kept:
            self._counter.drop(self._reason)
        self._kept.clear()

    def _decode_kept(self, now_seconds: float) -> None:
        """Decode the oldest kept packet for the sake of later ones, and count its frame as a drop."""
        num_before = self._counter.num_frames
        frames = self._decoder.decode(self._kept.popleft(), now_seconds, is_shown=False)
        for _ in frames:
            self._counter.drop(self._reason)
        if self._counter.num_frames == num_before:
            self._counter.drop(self._reason)
