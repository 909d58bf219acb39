"""What follows a failed connection to a network stream: an error, or a delay before the next attempt."""

from __future__ import annotations

import errno
import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import av.error

from streamseg.capture.clock import NS_PER_SECOND
from streamseg.capture.health import SourceHealth
from streamseg.capture.rtsp.session import RefusedError
from streamseg.capture.source import Backoff
from streamseg.config import StreamSource
from streamseg.errors import SourceError
from streamseg.redaction import redact

__all__ = ["Failure", "FailureKind", "Reconnection", "failure_of"]

logger = logging.getLogger(__name__)

FailureKind = Literal["unreachable", "silent", "lost", "denied", "impossible"]
"""Kind of a failed connection.

unreachable  nothing accepts connections at the address: retried four times a second, which costs next to nothing
silent       nothing arrived within the time-out: retried as fast, because each attempt lasts as long as its time-out
lost         the connection ended or broke: retried with increasing delays
denied       the server rejected the request, or sends no video: retried slowly, because some cameras lock accounts
impossible   the address cannot be opened by this build of FFmpeg: never retried
"""

_UNREACHABLE: Final = frozenset(
    {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EIO}
)
"""FFmpeg reports EIO for a host name without an address."""
RESPONSE_SECONDS: Final = 0.75
"""Time-out of the first responses after a camera was lost; it doubles with each attempt that remains without one. An
attempt that began in a half-open network must not occupy the source after the network works again."""
REPEAT_SECONDS: Final = 60.0
"""Shortest time between two log lines with the same reason."""


class Failure(NamedTuple):
    """Reason of the end of a connection."""

    kind: FailureKind
    reason: str
    """One line without secrets."""


def failure_of(error: av.error.FFmpegError | OSError | None) -> Failure:
    """Return the failure behind an error; None is the regular end of a stream."""
    if error is None:
        return Failure("lost", "the stream ended")
    if isinstance(error, RefusedError) and error.status >= 500:  # the camera is busy, or starting
        return Failure("lost", str(error))
    if isinstance(error, SourceError):  # rejected, or opened without video that can be decoded
        return Failure("denied", str(error))
    reason = str(error.strerror or error)
    if isinstance(error, av.error.HTTPClientError):
        return Failure("denied", reason)
    if isinstance(error, av.error.ProtocolNotFoundError):
        return Failure("impossible", reason)
    if isinstance(error, TimeoutError):  # PyAV's is one, too
        return Failure("silent", reason)
    is_unreachable = isinstance(error, socket.gaierror) or error.errno in _UNREACHABLE
    return Failure("unreachable" if is_unreachable else "lost", reason)


class Reconnection:
    """Retries a network stream until it is stopped, and gives up only if configured to.

    Args:
        config: the source; its address appears without secrets only.
        health: receives the attempts and failures.
        stopped: ends the delays.
        gives_up: a stream that was never received fails after `open_timeout_seconds`, and at once if it is denied.
        random: uniform random numbers in 0..1, so that many cameras do not reconnect at the same moment.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        config: StreamSource,
        health: SourceHealth,
        stopped: threading.Event,
        *,
        gives_up: bool,
        random: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._config = config
        self._redacted = redact(config.url)
        self._health = health
        self._stopped = stopped
        self._gives_up = gives_up or not config.reconnect
        self._give_up_at = clock() + config.open_timeout_seconds
        self._backoffs: dict[FailureKind, Backoff] = {
            "unreachable": Backoff(first_seconds=0.25, longest_seconds=0.25, random=random),
            "silent": Backoff(first_seconds=0.25, longest_seconds=0.25, random=random),
            "lost": Backoff(random=random),
            "denied": Backoff(first_seconds=10.0, longest_seconds=60.0, random=random),
        }
        self._logged: tuple[str, float] = ("", 0.0)
        self.has_delivered = False
        """Whether a packet was ever received."""
        self._began_at: float | None = None
        """Time at which the present attempt began; None once it has received a packet."""
        self._num_silent = 0
        """Number of attempts without a packet since the last one with."""

    def connecting(self) -> float:
        """Report an attempt; return the time-out in seconds of its reads."""
        now = self._began_at = self._clock()
        self._health.connecting(round(now * NS_PER_SECOND))
        if self.has_delivered or not self._gives_up:
            return self._config.timeout_seconds
        return min(self._config.timeout_seconds, max(self._give_up_at - now, 0.1))

    @property
    def response_seconds(self) -> float:
        """Time-out in seconds of each response before the first packet; cameras may need long at their start."""
        longest = self._config.timeout_seconds
        return min(RESPONSE_SECONDS * 2**self._num_silent, longest) if self.has_delivered else longest

    def received(self, now_seconds: float) -> None:
        """Report a packet."""
        self.has_delivered, self._began_at, self._num_silent = True, None, 0
        for backoff in self._backoffs.values():
            backoff.connected(now_seconds)

    def wait(self, failure: Failure) -> None:
        """Wait for the next attempt; return early when the source is stopped.

        Call this outside any `except` block: FFmpeg's errors contain the address with its password and must not be
        chained to ours.

        Raises:
            SourceError: another attempt cannot succeed, or is not allowed.
        """
        now = self._clock()
        self._check(failure, now)
        delay_seconds = self._backoffs[failure.kind].failed(now)
        if self._began_at is not None:
            self._num_silent = min(self._num_silent + 1, 16)
            if failure.kind == "lost":  # time without a response is part of the delay
                delay_seconds = max(delay_seconds - (now - self._began_at), 0.0)
        if self._gives_up and not self.has_delivered:
            delay_seconds = min(delay_seconds, self._give_up_at - now)
        state = "connection lost" if self.has_delivered else "no connection"
        error = f"{state} to {self._redacted} ({failure.reason})"
        self._health.disconnected(error, round(now * NS_PER_SECOND), is_denied=failure.kind == "denied")
        if error != self._logged[0] or now - self._logged[1] >= REPEAT_SECONDS:
            self._logged = (error, now)
            source_id = self._config.id
            logger.warning("%s: %s, next try in %.1f s", source_id, error, delay_seconds, extra={"source": source_id})
        self._stopped.wait(delay_seconds)

    def _check(self, failure: Failure, now: float) -> None:
        """Raise SourceError if there is no further attempt."""
        config = self._config
        is_refused = failure.kind == "denied" and self._gives_up and not self.has_delivered
        if failure.kind == "impossible" or is_refused:
            hint = "check the address, user and password"
            raise SourceError(f"{self._redacted} cannot be opened: {failure.reason}; {hint}")
        if self.has_delivered and not config.reconnect:
            raise SourceError(f"connection lost to {self._redacted}: {failure.reason}; set reconnect: true to retry")
        if not self.has_delivered and (not config.reconnect or (self._gives_up and now >= self._give_up_at)):
            raise SourceError(
                f"{self._redacted} did not respond within {config.open_timeout_seconds:g} s "
                f"(last error: {failure.reason}); check the address, or increase open_timeout_seconds"
            )
