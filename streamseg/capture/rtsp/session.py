"""Client side of an RTSP session (RFC 2326), from OPTIONS to PLAY. Pure: bytes in, bytes out, time as an argument."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from streamseg.capture.rtsp.authentication import Authenticator, Credentials
from streamseg.capture.rtsp.description import VideoTrack, parse_description
from streamseg.capture.rtsp.messages import Interleaved, MessageReader, ServerRequest, ServerResponse, format_message
from streamseg.errors import SourceError

__all__ = ["Address", "Media", "RedirectError", "RefusedError", "RtspSession", "Transport", "split_address"]

Transport = Literal["tcp", "udp"]
"""Transport of the packets: interleaved with the requests on their TCP connection, or UDP."""

DEFAULT_PORT: Final = 554
DEFAULT_TIMEOUT_SECONDS: Final = 60.0
"""Time without a request after which a server ends a session, unless it declares another (RFC 2326, 12.37)."""
UNSUPPORTED_TRANSPORT: Final = 461


class RefusedError(SourceError):
    """A request that the server rejected."""

    def __init__(self, method: str, status: int, reason: str) -> None:
        super().__init__(f"the camera replied {status} {reason} to {method}".replace("  ", " "))
        self.status = status


class RedirectError(SourceError):
    """A server that names another address."""

    def __init__(self, url: str) -> None:
        super().__init__("the camera redirects to another address; use that one")
        self.url = url


class Address(NamedTuple):
    """Parts of an RTSP address."""

    url: str
    """Address without user and password."""
    host: str
    port: int
    credentials: Credentials | None


def split_address(url: str) -> Address:
    """Split a valid RTSP address; user and password are percent-decoded."""
    parts = urlsplit(url)
    credentials = None
    if parts.username is not None:
        credentials = Credentials(unquote(parts.username), unquote(parts.password or ""))
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return Address(bare, parts.hostname or "", parts.port or DEFAULT_PORT, credentials)


class Media(NamedTuple):
    """A received RTP or RTCP packet of the video."""

    is_control: bool
    """True for RTCP."""
    data: bytes


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    headers: dict[str, str]


class RtspSession:
    """Sets up one video track and keeps the session alive.

    `start`, then send `outgoing()` and pass what arrives to `receive`, until `is_playing`; call `keep_alive` at
    `keep_alive_seconds`.

    Args:
        address: the address of the stream.
        name: the name of the source for error messages, without secrets.
        transports: transports in order of preference; the next one is tried if the server does not support one.
        open_ports: opens a pair of UDP ports for RTP and RTCP, and returns their numbers; called once at most.
        authenticator: headers of requests that need authentication.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        transports: tuple[Transport, ...],
        open_ports: Callable[[], tuple[int, int]],
        authenticator: Authenticator | None = None,
    ) -> None:
        self._url = address.url
        self._name = name
        self._transports = transports
        self._open_ports = open_ports
        self._authenticator = authenticator or Authenticator(address.credentials)
        self._reader = MessageReader(name=name)
        self._outgoing = bytearray()
        self._num_requests = 0
        self._pending: _Request | None = None
        self._session_id = ""
        self._timeout_seconds = DEFAULT_TIMEOUT_SECONDS
        self._requested_at = 0.0
        self._has_get_parameter = False
        self._channels = (0, 1)
        self._track: VideoTrack | None = None
        self.is_playing = False
        self.server_ports: tuple[int, int] | None = None
        """Ports from which the server sends RTP and RTCP over UDP; None if it does not declare them."""

    @property
    def track(self) -> VideoTrack:
        """The video track; available when the session is playing."""
        if self._track is None:
            raise RuntimeError("the session has no description yet")
        return self._track

    @property
    def transport(self) -> Transport:
        """The transport in use."""
        return self._transports[0]

    @property
    def keep_alive_seconds(self) -> float:
        """Time at which the next `keep_alive` is due."""
        return self._requested_at + self._timeout_seconds / 2

    def start(self, now_seconds: float) -> None:
        """Begin the session."""
        self._requested_at = now_seconds
        self._request("OPTIONS", self._url)

    def outgoing(self) -> bytes:
        """Return the bytes to send, once; empty if there are none."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def receive(self, data: bytes) -> Iterator[Media]:
        """Process received bytes; yield the packets of the video.

        Raises:
            SourceError: the server rejected a request (`RefusedError`), redirects (`RedirectError`), sends no video,
                video of another codec (`UnsupportedStreamError`) or no RTSP.
        """
        for message in self._reader.feed(data):
            if isinstance(message, Interleaved):
                if message.channel in self._channels:
                    yield Media(message.channel == self._channels[1], message.data)
            elif isinstance(message, ServerRequest):
                self._outgoing += format_message("RTSP/1.0 200 OK", {"CSeq": message.header("CSeq")})
            else:
                self._respond(message)

    def keep_alive(self, now_seconds: float) -> None:
        """Send a request that has no effect but to prevent the end of the session."""
        self._requested_at = now_seconds
        self._request("GET_PARAMETER" if self._has_get_parameter else "OPTIONS", self.track.session_url)

    def tear_down(self) -> None:
        """End the session, if it has begun; the response is not awaited."""
        if self._session_id:
            self._request("TEARDOWN", self.track.session_url)

    def _request(self, method: str, url: str, headers: dict[str, str] | None = None) -> None:
        self._pending = _Request(method, url, headers or {})
        self._num_requests += 1
        lines: dict[str, str | int] = {"CSeq": self._num_requests, "User-Agent": "streamseg"}
        authorization = self._authenticator.header(method, url)
        if authorization is not None:
            lines["Authorization"] = authorization
        if self._session_id:
            lines["Session"] = self._session_id
        self._outgoing += format_message(f"{method} {url} RTSP/1.0", lines | self._pending.headers)

    def _respond(self, response: ServerResponse) -> None:
        """Process a response, and send the next request."""
        request = self._pending
        if request is None or response.header("CSeq") not in ("", str(self._num_requests)):
            return  # to an earlier request
        self._pending = None
        status = response.status
        if status < 200:
            self._pending = request
        elif status == 401 and self._authenticator.challenge(response.headers.get("www-authenticate", ())):
            self._request(request.method, request.url, request.headers)
        elif status < 300:
            self._authenticator.accepted()
            self._proceed(request, response)
        elif self.is_playing:
            return  # of no consequence: data are still arriving, or their absence is noticed
        elif status < 400 and response.header("Location"):
            raise RedirectError(response.header("Location"))
        elif request.method == "OPTIONS" and status != 401:
            self._describe()  # an optional request
        elif status == UNSUPPORTED_TRANSPORT and len(self._transports) > 1:
            self._transports = self._transports[1:]
            self._set_up()
        else:
            raise RefusedError(request.method, status, response.reason)

    def _proceed(self, request: _Request, response: ServerResponse) -> None:
        if self.is_playing:
            return
        if request.method == "OPTIONS":
            public = response.header("Public").upper()
            self._has_get_parameter = "GET_PARAMETER" in [name.strip() for name in public.split(",")]
            self._describe()
        elif request.method == "DESCRIBE":
            base = response.header("Content-Base") or response.header("Content-Location") or self._url
            self._track = parse_description(response.body.decode("utf-8", "replace"), base, name=self._name)
            self._set_up()
        elif request.method == "SETUP":
            self._session_id, _, parameters = response.header("Session").partition(";")
            timeout = re.search(r"timeout\s*=\s*(\d{1,6})", parameters)
            if timeout is not None and int(timeout[1]):
                self._timeout_seconds = float(timeout[1])
            self._read_transport(response.header("Transport"))
            self._request("PLAY", self.track.session_url, {"Range": "npt=0.000-"})
        elif request.method == "PLAY":
            self.is_playing = True

    def _describe(self) -> None:
        self._request("DESCRIBE", self._url, {"Accept": "application/sdp"})

    def _set_up(self) -> None:
        if self.transport == "tcp":
            transport = "RTP/AVP/TCP;unicast;interleaved=0-1"
        else:
            first, second = self._open_ports()
            transport = f"RTP/AVP;unicast;client_port={first}-{second}"
        self._request("SETUP", self.track.url, {"Transport": transport})

    def _read_transport(self, transport: str) -> None:
        """Read the channels or ports that the server chose."""
        channels = re.search(r"interleaved=(\d{1,3})(?:-(\d{1,3}))?", transport)
        ports = re.search(r"server_port=(\d{1,5})(?:-(\d{1,5}))?", transport)
        if channels is not None:
            self._channels = (int(channels[1]), int(channels[2] or int(channels[1]) + 1))
        if ports is not None:
            self.server_ports = (int(ports[1]), int(ports[2] or int(ports[1]) + 1))
