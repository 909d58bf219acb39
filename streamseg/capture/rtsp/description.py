"""Session descriptions (SDP, RFC 8866) of RTSP servers. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streamseg.capture.rtsp.nal_units import Codec
from streamseg.errors import SourceError

__all__ = ["UnsupportedStreamError", "VideoTrack", "control_url", "parse_description"]

CODECS: Final[dict[str, Codec]] = {"h264": "h264", "h265": "hevc"}
"""Codecs by their encoding names in session descriptions, in lower case."""


class UnsupportedStreamError(SourceError):
    """Video that this reader does not support, but FFmpeg may."""


@dataclass(frozen=True)
class VideoTrack:
    """The video of a session."""

    codec: Codec
    payload_type: int
    """Payload type of its RTP packets, 0..127."""
    clock_rate: int
    """Clock rate of its time stamps in Hz."""
    url: str
    """Address for SETUP."""
    session_url: str
    """Address for PLAY and the following requests."""
    parameter_sets: tuple[bytes, ...]
    """NAL units with parameter sets; empty if the stream itself contains them."""


def control_url(base: str, control: str) -> str:
    """Return the address of a control attribute.

    A relative one is appended, as all clients do, instead of resolved by RFC 3986: base addresses have queries.
    """
    if "://" in control:
        return control
    if control in ("", "*"):
        return base
    return f"{base.removesuffix('/')}/{control.removeprefix('/')}"


def parse_description(text: str, base_url: str, *, name: str) -> VideoTrack:
    """Return the first video track.

    Args:
        text: the session description.
        base_url: address to which its control attributes are relative.
        name: the name of the source for error messages.

    Raises:
        UnsupportedStreamError: the video has another codec, or packets out of decoding order.
        SourceError: there is no video.
    """
    sections = _sections(text)
    session = next(sections)
    kinds = []
    for section in sections:
        kind, _, rest = section[0][2:].partition(" ")
        if kind == "video":
            return _track(section, rest, control_url(base_url, _attribute(session, "control")), base_url)
        kinds.append(kind)
    found = ", ".join(sorted(set(kinds))) or "nothing"
    raise SourceError(f"{name} contains no video, only {found}; use a video stream")


def _sections(text: str) -> Iterator[list[str]]:
    """Yield the lines before the first medium, then those of each medium."""
    section = list[str]()
    for line in text.splitlines():
        if line.startswith("m="):
            yield section
            section = []
        section.append(line.strip())
    yield section


def _attribute(section: list[str], name: str, prefix: str = "") -> str:
    """Return the value of an attribute without its prefix; "" if absent."""
    start = f"a={name}:{prefix}"
    return next((line[len(start) :].strip() for line in section if line.startswith(start)), "")


def _track(section: list[str], medium: str, session_url: str, base_url: str) -> VideoTrack:
    """Return the track of a section; `medium` holds port, protocol and payload types."""
    payload_type = medium.split()[2] if len(medium.split()) > 2 else ""
    encoding, _, rate = _attribute(section, "rtpmap", f"{payload_type} ").partition("/")
    codec = CODECS.get(encoding.strip().lower())
    clock_rate = rate.partition("/")[0].strip()
    if codec is None or not payload_type.isdecimal() or not clock_rate.isdecimal() or not int(clock_rate):
        raise UnsupportedStreamError(f"video of type {encoding or payload_type or 'unknown'} is not H.264 or H.265")
    parameters = _parameters(_attribute(section, "fmtp", f"{payload_type} "))
    if parameters.get("packetization-mode") == "2" or parameters.get("sprop-max-don-diff", "0") != "0":
        raise UnsupportedStreamError(f"{encoding} with interleaved NAL units")
    names = ("sprop-parameter-sets", "sprop-vps", "sprop-sps", "sprop-pps")
    coded = ",".join(parameters.get(name, "") for name in names).split(",")
    return VideoTrack(
        codec,
        int(payload_type),
        int(clock_rate),
        control_url(base_url, _attribute(section, "control")),
        session_url,
        tuple(unit for value in coded if (unit := _decoded(value))),
    )


def _parameters(text: str) -> dict[str, str]:
    """Return the parameters of a format: "a=1; b=2"."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _decoded(value: str) -> bytes:
    """Return the bytes of a Base64 value; empty if it is damaged: cameras repeat parameter sets in the stream."""
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return b""
