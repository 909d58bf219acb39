"""Containers, decoding of their video, and conversion to RGB. Undecodable frames are counted as drops."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakSet

import av
import av.error
import cv2
import numpy as np
from av.codec.context import Flags
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream

from streamseg.capture.device_image import nv12_image
from streamseg.capture.display import display_matrix, upright
from streamseg.capture.source import FrameCounter
from streamseg.errors import SourceError
from streamseg.structures.arrays import ImageArray
from streamseg.structures.nv12 import Nv12Image

__all__ = ["KeyframeGate", "RgbConverter", "VideoDecoder", "num_threads", "open_video", "period_seconds"]

TEXT_FORMATS = frozenset({"tty"})
"""FFmpeg renders any text file as a video of a terminal, which is never intended."""

REPORTS_DAMAGE = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4"})
"""Decoders that mark each frame in which they had to conceal missing data. Others, such as HEVC's, do not."""

DEVICE_FORMATS = frozenset({"cuda"})
"""Pixel formats of frames in the memory of a GPU."""

HIGHEST_FPS = 1000
"""A higher frame rate is the resolution of a clock."""


def open_video(
    url: str,
    *,
    name: str,
    options: Mapping[str, str],
    timeout_seconds: float | None = None,
    hardware: HWAccel | None = None,
) -> tuple[InputContainer, VideoStream]:
    """Open a container and select its video stream. The caller closes the container.

    Args:
        url: the address for FFmpeg.
        name: the name for error messages.
        options: options of FFmpeg's protocol and demuxer.
        timeout_seconds: time-out of opening and of each read, by interrupting FFmpeg. It calls Python at every
            poll: use it only for protocols without a time-out of their own.
        hardware: decodes on a GPU, see `hardware_decoder`; None for the CPU.

    Raises:
        SourceError: the container has no video, or none that can be decoded.
        av.error.FFmpegError: the container cannot be opened. The error text contains the whole address.
    """
    # Tags in an old encoding are no reason to reject a video.
    container = av.open(
        url, options=dict(options), timeout=timeout_seconds, metadata_errors="replace", hwaccel=hardware
    )
    try:
        stream = _best_video(container)
        if not isinstance(stream, VideoStream) or container.format.name in TEXT_FORMATS:
            kinds = ", ".join(sorted({_kind(other) for other in container.streams})) or "nothing"
            found = "text" if container.format.name in TEXT_FORMATS else kinds
            raise SourceError(f"{name} contains no video, only {found}; use a video file or a video stream")
        if stream.codec_context is None:
            raise SourceError(f"{name} contains video that this build of FFmpeg cannot decode; convert it")
    except BaseException:
        container.close()
        raise
    return container, stream


def _best_video(container: InputContainer) -> Stream | None:
    """Return FFmpeg's choice among the video streams; cover images are none."""
    best = container.streams.best("video")
    if best is None or _kind(best) == "video":
        return best
    return next((stream for stream in container.streams.video if _kind(stream) == "video"), None)


def _kind(stream: Stream) -> str:
    return "a cover image" if stream.disposition & Disposition.attached_pic else stream.type


def period_seconds(stream: VideoStream) -> float:
    """Return the nominal frame period in seconds; that of 25 fps if the container declares none."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and rate <= HIGHEST_FPS:
            return float(1 / rate)
    return 1 / 25


class KeyframeGate:
    """Gate that blocks packets after a loss until the next keyframe, because they refer to missing frames."""

    LONGEST_SECONDS = 10.0
    """Some cameras refresh gradually and never send a keyframe; after this long, every packet passes."""

    def __init__(self) -> None:
        self._shut_at: float | None = None

    def shut(self, now_seconds: float) -> None:
        """Report a loss."""
        if self._shut_at is None:
            self._shut_at = now_seconds

    def admits(self, *, is_keyframe: bool, now_seconds: float) -> bool:
        """Return whether to decode a packet; a keyframe opens the gate."""
        if self._shut_at is not None and (is_keyframe or now_seconds - self._shut_at >= self.LONGEST_SECONDS):
            self._shut_at = None
        return self._shut_at is None


_live_decoders: Final[WeakSet[VideoDecoder]] = WeakSet()
"""Decoders of live streams in this process."""


def num_threads(num_cores: int, num_decoders: int) -> int:
    """Return the number of threads of a live stream's decoder, at least 1.

    Two threads that decode the slices of an image take 1.3 to 1.7 times the CPU time of one, which only gains time
    while a core is idle.

    Args:
        num_cores: cores of the machine.
        num_decoders: live streams that are decoded at the same time, this one included.
    """
    return max(num_cores // num_decoders, 1)


class VideoDecoder:
    """Decoder of one video stream that never fails: damaged packets and frames are counted as drops.

    In live mode, every loss shuts a gate until the next keyframe. So does the start, which may lie
    anywhere between two keyframes. In a file, decoding continues with the next packet. There, a packet that the
    demuxer suspects to be damaged is decoded, too, if the decoder itself reports damage: at the joint of two
    recordings, a demuxer cannot distinguish a lost packet from an intact one.
    """

    def __init__(
        self, context: VideoCodecContext, counter: FrameCounter, *, live: bool, now_seconds: float = 0.0
    ) -> None:
        self._context = context
        self._counter = counter
        self._gate = KeyframeGate() if live else None
        if self._gate is not None:
            self._gate.shut(now_seconds)
            # Frame threads would delay the output by one frame each.
            context.thread_type = "SLICE"
            _live_decoders.add(self)
            context.thread_count = num_threads(os.cpu_count() or 1, len(_live_decoders))
            context.flags |= Flags.low_delay.value
        else:
            context.thread_type = "AUTO"
        self._decodes_suspects = not live and context.name in REPORTS_DAMAGE
        self._has_lost = False
        self.ended_damaged = False
        """True if the last packet was incomplete: at the end of a file, the file is truncated."""

    def decode(self, packet: av.Packet[Any], now_seconds: float, *, is_shown: bool = True) -> list[av.VideoFrame]:
        """Decode a packet; return the frames that become available, in presentation order, often one or none.

        Args:
            packet: the packet.
            now_seconds: monotonic time.
            is_shown: False: the packet is decoded only if other frames refer to it.
        """
        self._context.skip_frame = "DEFAULT" if is_shown else "NONREF"
        if packet.size:
            self.ended_damaged = packet.is_corrupt
            if packet.is_corrupt and not self._decodes_suspects:
                self._drop("corrupt", now_seconds)
                return []
            if self._gate is not None and not self._gate.admits(
                is_keyframe=packet.is_keyframe, now_seconds=now_seconds
            ):
                self._counter.drop("before_keyframe")
                return []
        before = self._restart() if self._has_lost and packet.is_keyframe else []
        try:
            frames = before + self._context.decode(packet)
        except av.error.FFmpegError:
            self._drop("corrupt", now_seconds)
            return []
        intact = []
        for frame in frames:
            if frame.is_corrupt:
                self._drop("corrupt", now_seconds)
            else:
                intact.append(frame)
        return intact

    def lose(self, now_seconds: float) -> None:
        """Report a packet that did not arrive completely."""
        self._drop("packet_loss", now_seconds)

    def skip(self) -> None:
        """Report that packets were left out, and that the next one is a keyframe."""
        self._has_lost = True

    def _restart(self) -> list[av.VideoFrame]:
        """Forget all reference frames, so that none of before a loss is used; return the frames not output yet."""
        self._has_lost = False
        try:
            return self._context.decode(None)
        except av.error.FFmpegError:
            return []
        finally:
            self._context.flush_buffers()

    def _drop(self, reason: str, now_seconds: float) -> None:
        self._counter.drop(reason)
        self._has_lost = self._gate is not None
        if self._gate is not None:
            self._gate.shut(now_seconds)


class RgbConverter:
    """Converter from decoded frames to upright RGB images of square pixels, with the correct colour matrix."""

    def __init__(self) -> None:
        # A single scaler for all frames: one scaler per frame makes the process grow.
        self._reformatter = VideoReformatter()

    def image(self, frame: av.VideoFrame, *, sample_aspect_ratio: float = 1.0) -> ImageArray | Nv12Image:
        """Return the image of a frame as `convert` does; one that was decoded on a GPU stays there.

        Unless it must be rotated, mirrored or enlarged, which happens on the host.
        """
        if frame.format.name not in DEVICE_FORMATS:
            return self.convert(frame, sample_aspect_ratio=sample_aspect_ratio)
        decoded = nv12_image(frame, colour_space=_colour_space(frame))
        matrix = display_matrix(frame)
        if sample_aspect_ratio == 1 and matrix is None:
            return decoded
        size = (round(frame.width * max(sample_aspect_ratio, 1.0)), round(frame.height / min(sample_aspect_ratio, 1.0)))
        rgb = np.asarray(cv2.resize(decoded.to_host(), size, interpolation=cv2.INTER_LINEAR), np.uint8)
        return rgb if matrix is None else upright(rgb, matrix)

    def convert(self, frame: av.VideoFrame, *, sample_aspect_ratio: float = 1.0) -> ImageArray:
        """Return uint8 (H, W, 3) RGB, rotated and mirrored for display as the container requests.

        Args:
            frame: the decoded frame.
            sample_aspect_ratio: width of a pixel divided by its height. The image is enlarged in one direction, so that
                its pixels are square.
        """
        rgb: Any = self._reformatter.reformat(
            frame,
            width=round(frame.width * max(sample_aspect_ratio, 1.0)),
            height=round(frame.height / min(sample_aspect_ratio, 1.0)),
            format="rgb24",
            src_colorspace=_colour_space(frame),
            threads=1,
        ).to_ndarray()
        matrix = display_matrix(frame)
        return rgb if matrix is None else upright(rgb, matrix)


def _colour_space(frame: av.VideoFrame) -> int:
    """Return the colour matrix; if the stream does not declare it, choose by size like video players (mpv, VLC)."""
    unspecified = (0, 2)  # AVCOL_SPC_RGB carries no information for a YUV frame
    if frame.colorspace not in unspecified:
        return frame.colorspace
    large = frame.width >= 1280 or frame.height > 576
    return (Colorspace.ITU709 if large else Colorspace.ITU601).value
