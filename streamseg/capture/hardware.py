"""Decoding on an NVIDIA GPU (NVDEC), through FFmpeg; decoded frames stay there. Not run on a GPU yet."""

from __future__ import annotations

from functools import cache
from typing import Final, Literal

import av.error
from av.codec import Codec
from av.codec.hwaccel import HWAccel

from streamseg.errors import SourceError

__all__ = ["Decode", "hardware_decoder"]

Decode = Literal["auto", "cpu", "cuda"]
"""Where video is decoded."""

_PROBED_CODEC: Final = "h264"
"""Every NVIDIA GPU with a decoder has it."""


def hardware_decoder(decode: Decode, *, name: str) -> HWAccel | None:
    """Return the settings to open a video with; None to decode on the CPU.

    Codecs that the GPU does not decode are decoded on the CPU.

    Args:
        decode: `auto` uses the GPU if there is a usable one.
        name: name of the source, for error messages.

    Raises:
        SourceError: the GPU is requested, and FFmpeg cannot open it.
    """
    if decode == "cpu":
        return None
    problem = gpu_problem()
    if problem is None:
        return HWAccel("cuda", allow_software_fallback=True, is_hw_owned=True)
    if decode == "auto":
        return None
    raise SourceError(f"{name}: FFmpeg cannot decode on an NVIDIA GPU ({problem}); use decode auto or cpu")


@cache
def gpu_problem() -> str | None:
    """Return why FFmpeg cannot open an NVIDIA GPU; None if it can. Tried once per process."""
    try:
        HWAccel("cuda").create(Codec(_PROBED_CODEC, "r"))
    except (av.error.FFmpegError, NotImplementedError, ValueError) as error:
        return str(error).splitlines()[0]
    return None
