"""The faults, each as a function that plays it once and returns what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from streamseg.structures.source_status import SourceState
from tests.faults.site import Site, address
from tests.support.fault_proxy import FaultProxy
from tests.support.loopback import LoopbackServer
from tests.support.rtsp_server import RtspServer

__all__ = ["DOCUMENT", "SCENARIOS", "Outcome", "Scenario"]

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "faults.md"

KEYFRAME_SECONDS = 1.0
"""Time between two keyframes of the test camera. A camera that was never off is seen again from its next keyframe."""


@dataclass(frozen=True)
class Outcome:
    """Measurement of one fault."""

    seconds: float
    """From the end of the fault to the next result, or the time that the promise is about."""
    states: tuple[SourceState, ...]
    """States that the source went through."""


@dataclass(frozen=True)
class Scenario:
    """A fault with its promise."""

    name: str
    run: Callable[[], Outcome]
    promise_seconds: float
    states: tuple[SourceState, ...]
    """States that it must go through."""
    never: tuple[SourceState, ...] = ()
    """States that it must not go through."""


def _outcome(site: Site, seconds: float, source_id: str = "cam") -> Outcome:
    # The newest state may not have been sampled yet.
    newest = site.runtime.source_statuses()[source_id].state
    return Outcome(seconds, (*site.states[source_id], newest))


def _patient_site(port: int) -> Site:
    return Site({"cam": address(port)}, timeout_seconds=10.0)


def killed_and_restarted() -> Outcome:
    """The camera loses its power for a second."""
    with RtspServer() as server, Site({"cam": address(server.port)}) as site:
        site.wait_for_results("cam", 5)
        server.kill()
        site.wait_for_state("cam", "waiting")
        site.pause(1.0)
        server.start()
        return _outcome(site, site.wait_for_results("cam"))


def absent_at_start() -> Outcome:
    """The camera appears seconds after the run."""
    server = RtspServer()
    server.start()
    server.kill()
    with Site({"cam": address(server.port)}, open_timeout_seconds=0.5) as site, _Later(server):
        site.wait_for_state("cam", "waiting")
        site.pause(3.0)
        server.start()
        return _outcome(site, site.wait_for_results("cam"))


def stalled_connection() -> Outcome:
    """Nothing arrives for longer than a stall, and shorter than the time-out."""
    with RtspServer() as server, FaultProxy(server.port) as proxy, _patient_site(proxy.port) as site:
        site.wait_for_results("cam", 5)
        proxy.set_mode("stall")
        site.wait_for_state("cam", "stalled")
        site.pause(1.0)
        proxy.set_mode("pass")
        return _outcome(site, site.wait_for_results("cam"))


def half_open_connection() -> Outcome:
    """The connection stays open, and nothing ever arrives on it again; new ones work."""
    with RtspServer() as server, FaultProxy(server.port) as proxy, Site({"cam": address(proxy.port)}) as site:
        site.wait_for_results("cam", 5)
        proxy.set_mode("forget")
        site.wait_for_state("cam", "waiting")
        proxy.set_mode("pass")
        return _outcome(site, site.wait_for_results("cam"))


def connection_reset() -> Outcome:
    """A router restarts."""
    with RtspServer() as server, FaultProxy(server.port) as proxy, Site({"cam": address(proxy.port)}) as site:
        site.wait_for_results("cam", 5)
        proxy.cut()
        return _outcome(site, site.wait_for_return("cam", 2))


def short_pauses() -> Outcome:
    """Consumer cameras pause for 0.4 s around their keyframes."""
    with RtspServer() as server, FaultProxy(server.port) as proxy, _patient_site(proxy.port) as site:
        site.wait_for_results("cam", 5)
        longest = 0.0
        for _ in range(5):
            proxy.set_mode("stall")
            site.pause(0.4)
            proxy.set_mode("pass")
            longest = max(longest, site.wait_for_results("cam"))
            site.pause(0.3)
        return _outcome(site, longest)


def frozen_image() -> Outcome:
    """The camera sends the same image for ever; the time is that of its detection beyond `frozen_seconds`."""
    with RtspServer(pattern="smpte75") as server, Site({"cam": address(server.port)}, frozen_seconds=3.0) as site:
        site.wait_for_results("cam")
        return _outcome(site, max(site.wait_for_state("cam", "frozen") - 3.0, 0.0))


def moving_image() -> Outcome:
    """The same with a moving image."""
    with RtspServer() as server, Site({"cam": address(server.port)}, frozen_seconds=1.0) as site:
        site.wait_for_results("cam", 45)
        return _outcome(site, 0.0)


def another_size() -> Outcome:
    """The camera returns with another size."""
    with RtspServer() as server, Site({"cam": address(server.port)}) as site:
        site.wait_for_results("cam", 5)
        server.kill()
        site.wait_for_state("cam", "waiting")
        server.start(size=(180, 240))
        seconds = site.wait_for_results("cam")
        assert site.sink.results["cam"][-1][2] == (180, 240)
        return _outcome(site, seconds)


def wrong_path() -> Outcome:
    """The camera has no such stream; the time is that until it is reported as denied."""
    with RtspServer() as server, Site({"cam": address(server.port, "nothing")}) as site:
        seconds = site.wait_for_state("cam", "denied")
        site.pause(1.0)
        assert "404" in (site.error("cam") or "")
        return _outcome(site, seconds)


def dead_among_others() -> Outcome:
    """One of three cameras is silent from the start, and one is cut; the time is the longest gap of the third."""
    with (
        RtspServer() as server,
        FaultProxy(server.port) as proxy,
        LoopbackServer(lambda connection: connection.recv(1 << 20)) as silent,
        Site({"cam": address(server.port), "dead": address(silent.port), "cut": address(proxy.port)}) as site,
    ):
        site.wait_for_results("cut", 5)
        start = site.num_results("cam")
        for _ in range(4):
            site.pause(0.7)
            proxy.cut()
        times = [at for at, _, _ in site.sink.results["cam"][start:]]
        gaps = [after - before for before, after in pairwise(times)]
        return _outcome(site, max(gaps))


class _Later:
    """Kills a server that was not started by its own `with`."""

    def __init__(self, server: RtspServer) -> None:
        self._server = server

    def __enter__(self) -> None:
        """Nothing is started yet."""

    def __exit__(self, *_: object) -> None:
        self._server.kill()


SCENARIOS = (
    Scenario("server killed and restarted", killed_and_restarted, 1.0, ("live", "waiting")),
    Scenario("absent at start", absent_at_start, 1.0, ("waiting", "live"), never=("failed",)),
    Scenario("stall", stalled_connection, 1.0, ("live", "stalled"), never=("waiting",)),
    Scenario("half-open connection", half_open_connection, 1.0 + KEYFRAME_SECONDS, ("stalled", "waiting", "live")),
    Scenario("connection reset", connection_reset, 1.0 + KEYFRAME_SECONDS, ("live", "waiting")),
    Scenario("pauses of 0.4 s", short_pauses, 0.5, ("live",), never=("stalled", "waiting")),
    Scenario("frozen image", frozen_image, 1.0, ("live", "frozen")),
    Scenario("moving image", moving_image, 0.0, ("live",), never=("frozen",)),
    Scenario("another size", another_size, 1.0, ("live", "waiting")),
    Scenario("404", wrong_path, 1.0, ("denied",), never=("failed", "live")),
    Scenario("one dead, one flapping, one healthy", dead_among_others, 0.5, ("live",), never=("stalled",)),
)
