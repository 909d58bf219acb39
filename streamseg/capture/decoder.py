"""From packets to pictures: what cannot be decoded is counted, what is decoded becomes RGB."""

from __future__ import annotations

from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream

from streamseg.capture.numbering import Numbering

__all__ = ["ImageDecoder", "KeyframeGate", "RgbConverter"]


class KeyframeGate:
    """Shut after damage: what follows refers to pictures that are not there, until the next keyframe."""

    LONGEST_SECONDS = 10.0
    """Some cameras refresh bit by bit and never send a keyframe: after so long, anything is let through."""

    def __init__(self) -> None:
        self._shut_at: float | None = None

    def shut(self, now_seconds: float) -> None:
        """Something was lost."""
        if self._shut_at is None:
            self._shut_at = now_seconds

    def admits(self, *, is_keyframe: bool, now_seconds: float) -> bool:
        """Whether to decode a packet; a keyframe opens the gate."""
        if self._shut_at is not None and (is_keyframe or now_seconds - self._shut_at >= self.LONGEST_SECONDS):
            self._shut_at = None
        return self._shut_at is None


class ImageDecoder:
    """Decodes one video stream and never fails: damaged packets and pictures are counted as drops.

    Live, whatever was lost shuts a gate until the next keyframe, and so does the start, which may
    lie anywhere between two keyframes. In a file, decoding goes on with the next packet.
    """

    def __init__(self, stream: VideoStream, numbering: Numbering, *, live: bool, now_seconds: float = 0.0) -> None:
        self._numbering = numbering
        self._gate = KeyframeGate() if live else None
        if self._gate is not None:
            self._gate.shut(now_seconds)
            # Frame threads would hold back one picture each.
            stream.thread_type = "SLICE"
            stream.codec_context.flags |= Flags.low_delay.value
        else:
            stream.thread_type = "AUTO"
        self.ended_damaged = False
        """The last packet was incomplete: at the end of a file, it was cut off."""

    def decode(self, packet: av.Packet[VideoStream], now_seconds: float) -> list[av.VideoFrame]:
        """The pictures that come out when this packet goes in, in order of presentation; often one, or none."""
        if packet.size:
            self.ended_damaged = packet.is_corrupt
            if packet.is_corrupt:
                self._lose("corrupt", now_seconds)
                return []
            if self._gate is not None and not self._gate.admits(
                is_keyframe=packet.is_keyframe, now_seconds=now_seconds
            ):
                self._numbering.drop("before_keyframe")
                return []
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            self._lose("corrupt", now_seconds)
            return []
        whole = []
        for frame in frames:
            if frame.is_corrupt:
                self._lose("corrupt", now_seconds)
            else:
                whole.append(frame)
        return whole

    def _lose(self, reason: str, now_seconds: float) -> None:
        self._numbering.drop(reason)
        if self._gate is not None:
            self._gate.shut(now_seconds)


class RgbConverter:
    """Makes RGB pictures, upright, in the right colours."""

    def __init__(self) -> None:
        # One for all pictures: a scaler per picture grows the process.
        self._reformatter = VideoReformatter()

    def convert(self, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        """uint8 (H, W, 3) RGB, turned as the container says it is to be shown."""
        rgb: Any = self._reformatter.reformat(
            frame, format="rgb24", src_colorspace=_colour_space(frame), threads=1
        ).to_ndarray()
        # The display matrix counts anticlockwise degrees, and so does rot90.
        quarter_turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb


def _colour_space(frame: av.VideoFrame) -> int:
    """The matrix of the coded colours; where the stream does not say, by size as players do (mpv, VLC)."""
    unspecified = (0, 2)  # AVCOL_SPC_RGB says nothing about a YUV picture
    if frame.colorspace not in unspecified:
        return frame.colorspace
    large = frame.width >= 1280 or frame.height > 576
    return (Colorspace.ITU709 if large else Colorspace.ITU601).value
