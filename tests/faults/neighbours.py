"""Faults of one source beside healthy ones, and of a machine that is too slow for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from streamseg.capture import open_source
from streamseg.config import SceneSource, StreamSource
from tests.faults.rows import Outcome, Scenario
from tests.faults.site import Site, address
from tests.support.fault_proxy import FaultProxy
from tests.support.loopback import LoopbackServer
from tests.support.rtsp_server import RtspServer

__all__ = ["SCENARIOS"]

NETWORK_SECONDS = 0.02
"""Duration of the network in the comparisons of ages: without one, they are those of the scheduler."""
FPS = 15
NUM_ROUNDS = 12
DEADLINE_MS = 800.0
HEALTHY = ("one", "two", "three")
ROUND_SECONDS = 2.4
WARM_UP_SECONDS = 2.0


def dead_among_others() -> Outcome:
    """One of three cameras is silent, and one is cut four times; the time is the longest gap of the third."""
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
        return Outcome(site.longest_gap("cam", start), tuple(site.states["cam"]))


def _growth_percent(disturb: Callable[[Site, FaultProxy], None], restore: Callable[[Site, FaultProxy], None]) -> float:
    """Return by how much the p99 age of three cameras grows while a fourth one has a fault; in turns."""
    with ExitStack() as stack:
        ports = [stack.enter_context(RtspServer(fps=FPS)).port for _ in range(len(HEALTHY) + 1)]
        proxy = stack.enter_context(FaultProxy(ports[-1]))
        urls = {name: address(port) for name, port in zip(HEALTHY, ports, strict=False)} | {
            "faulty": address(proxy.port)
        }
        with Site(urls, network_seconds=NETWORK_SECONDS) as site:
            for name in urls:
                site.wait_for_results(name)
            site.pause(WARM_UP_SECONDS)
            ages: dict[str, list[float]] = {"undisturbed": [], "disturbed": []}
            for _ in range(NUM_ROUNDS):
                for kind, play in (("undisturbed", _nothing), ("disturbed", disturb)):
                    starts = {name: site.num_results(name) for name in HEALTHY}
                    play(site, proxy)
                    for name in HEALTHY:
                        ages[kind] += site.ages_ms(name, starts[name])
                restore(site, proxy)
            p99 = {kind: float(np.percentile(values, 99)) for kind, values in ages.items()}
            return 100.0 * (p99["disturbed"] / p99["undisturbed"] - 1.0)


def _nothing(site: Site, proxy: FaultProxy) -> None:
    site.pause(ROUND_SECONDS)


def _pauses(site: Site, proxy: FaultProxy) -> None:
    for _ in range(round(ROUND_SECONDS / 0.8)):
        proxy.set_mode("stall")
        site.pause(0.4)
        proxy.set_mode("pass")
        site.pause(0.4)


def _flaps(site: Site, proxy: FaultProxy) -> None:
    for _ in range(3):
        proxy.cut()
        site.pause(ROUND_SECONDS / 3)


def _dies(site: Site, proxy: FaultProxy) -> None:
    proxy.set_mode("refuse")
    proxy.cut()
    site.pause(ROUND_SECONDS)


def _returns(site: Site, proxy: FaultProxy) -> None:
    proxy.set_mode("pass")
    site.wait_for_results("faulty", 3)
    site.pause(0.5)


def pauses_of_one() -> Outcome:
    """One of four cameras pauses for 0.4 s again and again; growth of the p99 age of the others, in turns with calm."""
    return Outcome(_growth_percent(_pauses, _returns))


def flapping_of_one() -> Outcome:
    """The connection of one of four cameras is reset every 0.8 s; growth of the p99 age of the others."""
    return Outcome(_growth_percent(_flaps, _returns))


def death_of_one() -> Outcome:
    """One of four cameras is off for 2.4 s, twelve times; growth of the p99 age of the others."""
    return Outcome(_growth_percent(_dies, _returns))


def slow_machine() -> Outcome:
    """The network takes 0.5 s for each frame of a camera with 10 frames a second; age of the oldest result."""
    with (
        RtspServer() as server,
        Site({"cam": address(server.port)}, network_seconds=0.5, deadline_ms=DEADLINE_MS) as site,
    ):
        site.wait_for_results("cam", 8)
        return Outcome(max(site.ages_ms("cam")), tuple(site.states["cam"]))


def too_slow_for_the_deadline() -> Outcome:
    """The same with a network that takes longer than the deadline; number of results, all of them too late."""
    with (
        RtspServer() as server,
        Site({"cam": address(server.port)}, network_seconds=1.0, deadline_ms=DEADLINE_MS) as site,
    ):
        site.wait_for_state("cam", "live")
        site.wait_for(lambda: "publish" in site.drops("cam"), "a frame that missed its deadline")
        site.pause(3.0)
        return Outcome(site.num_results("cam"), tuple(site.states["cam"]))


def hundred_sources() -> Outcome:
    """A hundred sources, half of them dead cameras, are added and removed; the longest gap of a camera beside them."""
    with RtspServer() as server, Site({"cam": address(server.port)}) as site:
        site.wait_for_results("cam", 5)
        start, num_threads = site.num_results("cam"), threading.active_count()
        for number in range(100):
            name = f"extra{number}"
            scene = SceneSource(id=name, width=64, height=64, fps=5, num_objects=1)
            dead = StreamSource(id=name, url="rtsp://127.0.0.1:9/dead", timeout_seconds=2.0)
            site.runtime.add_source(open_source(dead if number % 2 else scene, gives_up=False))
            if number >= 5:
                site.runtime.remove_source(f"extra{number - 5}")
            site.pause(0.02)
        for number in range(95, 100):
            site.runtime.remove_source(f"extra{number}")
        site.wait_for(lambda: threading.active_count() <= num_threads, "the end of the threads")
        assert site.runtime.source_ids == ("cam",)
        site.wait_for_results("cam", 3)
        return Outcome(site.longest_gap("cam", start), tuple(site.states["cam"]))


def _comparison(name: str, run: Callable[[], Outcome]) -> Scenario:
    return Scenario(name, run, 10.0, unit="%", promised="p99 age of the others grows by ≤ 10 %", is_long=True)


SCENARIOS = (
    Scenario("one dead, one flapping, one healthy", dead_among_others, 0.5, ("live",), never=("stalled",)),
    _comparison("pauses of one of four", pauses_of_one),
    _comparison("resets of one of four", flapping_of_one),
    _comparison("one of four off", death_of_one),
    Scenario(
        "machine five times too slow",
        slow_machine,
        DEADLINE_MS,
        ("live",),
        never=("failed",),
        unit="ms",
        promised=f"no result older than its deadline ({DEADLINE_MS:g} ms)",
    ),
    Scenario(
        "machine too slow for the deadline",
        too_slow_for_the_deadline,
        0,
        ("live",),
        unit="results",
        promised="nothing is published too late",
    ),
    Scenario("100 sources added and removed", hundred_sources, 0.5, ("live",), never=("stalled",)),
)
