"""Faults of one camera and its network, each as a function that plays it once and returns what was measured."""

from __future__ import annotations

from tests.faults.rows import Outcome, Scenario
from tests.faults.site import Site, address
from tests.support.fault_proxy import FaultProxy
from tests.support.rtsp_server import RtspServer

__all__ = ["SCENARIOS"]

ACCOUNT = "admin:open-sesame"
"""The one in `address`."""
KEYFRAME_SECONDS = 1.0
"""Time between two keyframes of the test camera. A camera that was never off is seen again from its next keyframe."""


def _outcome(site: Site, seconds: float, source_id: str = "cam") -> Outcome:
    # The newest state may not have been sampled yet.
    newest = site.runtime.source_statuses()[source_id].state
    return Outcome(seconds, (*site.states[source_id], newest))


def _patient_site(port: int) -> Site:
    return Site({"cam": address(port)}, timeout_seconds=10.0)


def killed_and_restarted() -> Outcome:
    """The process of the camera is killed, and starts again after a second."""
    with RtspServer() as server, Site({"cam": address(server.port)}) as site:
        site.wait_for_results("cam", 5)
        server.kill()
        site.wait_for_state("cam", "waiting")
        site.pause(1.0)
        server.start()
        return _outcome(site, site.wait_for_results("cam"))


def _absent(seconds: float) -> Outcome:
    server = RtspServer()
    server.start()
    server.kill()
    with Site({"cam": address(server.port)}, open_timeout_seconds=0.5) as site, _Later(server):
        site.wait_for_state("cam", "waiting")
        site.pause(seconds)
        server.start()
        return _outcome(site, site.wait_for_results("cam"))


def absent_at_start() -> Outcome:
    """The camera appears 3 s after the run, later than its `open_timeout_seconds`."""
    return _absent(3.0)


def long_absent_at_start() -> Outcome:
    """The camera appears a minute after the run."""
    return _absent(60.0)


def _stalled(site: Site, proxy: FaultProxy, seconds: float) -> Outcome:
    site.wait_for_results("cam", 5)
    proxy.set_mode("stall")
    site.pause(seconds)
    proxy.set_mode("pass")
    return _outcome(site, site.wait_for_results("cam"))


def stalled_connection() -> Outcome:
    """Nothing arrives for 3 s, less than the time-out (10 s); then the connection goes on."""
    with RtspServer() as server, FaultProxy(server.port) as proxy, _patient_site(proxy.port) as site:
        return _stalled(site, proxy, 3.0)


def long_stall() -> Outcome:
    """Nothing arrives for 30 s, on this connection nor on new ones, with the default time-out (5 s)."""
    with (
        RtspServer() as server,
        FaultProxy(server.port) as proxy,
        Site({"cam": address(proxy.port)}, timeout_seconds=5.0) as site,
    ):
        return _stalled(site, proxy, 30.0)


def half_open_connection() -> Outcome:
    """What the camera sends is lost, and the connection stays open; then new connections work."""
    with RtspServer() as server, FaultProxy(server.port) as proxy, Site({"cam": address(proxy.port)}) as site:
        site.wait_for_results("cam", 5)
        proxy.set_mode("forget")
        site.wait_for_state("cam", "waiting")
        proxy.set_mode("pass")
        return _outcome(site, site.wait_for_results("cam"))


def connection_reset() -> Outcome:
    """Both ends of the connection are reset, as by a router."""
    with RtspServer() as server, FaultProxy(server.port) as proxy, Site({"cam": address(proxy.port)}) as site:
        site.wait_for_results("cam", 5)
        proxy.cut()
        return _outcome(site, site.wait_for_return("cam", 2))


def short_pauses() -> Outcome:
    """Nothing arrives for 0.4 s, five times, as from consumer cameras at keyframes; never `stalled`."""
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
    """Still bars; the time is that from `frozen_seconds` to the state `frozen`."""
    with RtspServer(pattern="smpte75") as server, Site({"cam": address(server.port)}, frozen_seconds=3.0) as site:
        site.wait_for_results("cam")
        return _outcome(site, max(site.wait_for_state("cam", "frozen") - 3.0, 0.0))


def moving_image() -> Outcome:
    """A moving ball, longer than `frozen_seconds`; never `frozen`."""
    with RtspServer() as server, Site({"cam": address(server.port)}, frozen_seconds=1.0) as site:
        site.wait_for_results("cam", 45)
        return _outcome(site, 0.0)


def another_size() -> Outcome:
    """The camera returns with another image size."""
    with RtspServer() as server, Site({"cam": address(server.port)}) as site:
        site.wait_for_results("cam", 5)
        server.kill()
        site.wait_for_state("cam", "waiting")
        server.start(size=(180, 240))
        seconds = site.wait_for_results("cam")
        assert site.sink.results["cam"][-1][2] == (180, 240)
        return _outcome(site, seconds)


def wrong_path() -> Outcome:
    """The camera has no such stream; the time is that to the state `denied`."""
    with RtspServer() as server, Site({"cam": address(server.port, "nothing")}) as site:
        seconds = site.wait_for_state("cam", "denied")
        site.pause(1.0)
        assert "404" in (site.error("cam") or "")
        return _outcome(site, seconds)


def another_rate() -> Outcome:
    """The camera returns with 25 frames a second instead of 10; the time is that to the first result."""
    with RtspServer() as server, Site({"cam": address(server.port)}) as site:
        site.wait_for_results("cam", 5)
        server.kill()
        site.wait_for_state("cam", "waiting")
        server.start(fps=25)
        seconds = site.wait_for_results("cam")
        assert site.wait_for_results("cam", 50) < 4.0, "25 frames a second"
        return _outcome(site, seconds)


def _rejected(site: Site, server: RtspServer) -> None:
    site.wait_for_state("cam", "denied")
    site.pause(1.0)
    assert "401" in (site.error("cam") or "")
    server.accept_account()


def accepted_later() -> Outcome:
    """The camera rejects the password (401), and accepts it from some time on."""
    with RtspServer(account=ACCOUNT) as server, Site({"cam": address(server.port)}) as site:
        _rejected(site, server)
        return _outcome(site, site.wait_for_results("cam"))


def accepted_and_restarted() -> Outcome:
    """The same, and the source is restarted (`sources.restart`); the time is that from the request."""
    with RtspServer(account=ACCOUNT) as server, Site({"cam": address(server.port)}) as site:
        _rejected(site, server)
        site.restart("cam")
        return _outcome(site, site.wait_for_results("cam"))


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
    Scenario(
        "absent at start for 60 s", long_absent_at_start, 1.0, ("waiting", "live"), never=("failed",), is_long=True
    ),
    Scenario("stall of 3 s", stalled_connection, 1.0, ("live", "stalled"), never=("waiting",)),
    Scenario("stall of 30 s", long_stall, 1.0, ("live", "stalled", "waiting"), never=("failed",), is_long=True),
    Scenario("half-open connection", half_open_connection, 1.0 + KEYFRAME_SECONDS, ("stalled", "waiting", "live")),
    Scenario("connection reset", connection_reset, 1.0 + KEYFRAME_SECONDS, ("live", "waiting")),
    Scenario("pauses of 0.4 s", short_pauses, 0.5, ("live",), never=("stalled", "waiting")),
    Scenario("frozen image", frozen_image, 1.0, ("live", "frozen")),
    Scenario("moving image", moving_image, 0.0, ("live",), never=("frozen",), promised="never `frozen`"),
    Scenario("another size", another_size, 1.0, ("live", "waiting")),
    Scenario("another rate", another_rate, 1.0, ("live", "waiting")),
    Scenario("404", wrong_path, 1.0, ("denied",), never=("failed", "live")),
    Scenario("401, then 200", accepted_later, 12.0 + KEYFRAME_SECONDS, ("denied", "live"), never=("failed",)),
    Scenario("401, then restarted", accepted_and_restarted, 1.0, ("denied", "live"), never=("failed",)),
)
