"""Faults that damage images on their way; the camera's images are known, so that every damaged one is noticed."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.rtsp_latency.site import BLOCK_ERROR, camera, largest_block_error
from streamseg.structures.arrays import ImageArray
from tests.faults.rows import Outcome, Scenario
from tests.faults.site import Site, address
from tests.support.fault_proxy import FaultProxy
from tests.support.loss_proxy import DamageProxy, LossProxy
from tests.support.udp_loss_proxy import UdpLossProxy

__all__ = ["SCENARIOS"]

PLAY_SECONDS = 8.0
FPS = 30
LEAST_IMAGES = 10
"""Fewer images would test nothing; a busy machine takes longer for them."""
DETECTED = (
    "a bit that changed inside a packet shows only if it makes the encoded image invalid. Networks discard such packets"
    " by their checksums, and then it is a loss"
)


CUT_LATE = (
    "a packet that ends early at the end of an image may leave an image that is valid, and only its last blocks wrong."
    " TCP shortens no packet, and UDP's checksum makes a loss of it"
)


def _is_damaged(image: ImageArray) -> bool:
    return largest_block_error(image) > BLOCK_ERROR


def _play(proxy_of: Callable[[int, int], AbstractContextManager[FaultProxy]], transport: str) -> Outcome:
    """Return the number of damaged images that were published."""
    seed = random.randrange(2**32)
    with (
        camera(FPS) as port,
        proxy_of(port, seed) as proxy,
        Site({"cam": address(proxy.port)}, is_damaged=_is_damaged, transport=transport) as site,
    ):
        site.wait_for_results("cam")
        site.pause(PLAY_SECONDS)
        site.wait_for(lambda: site.num_results("cam") >= LEAST_IMAGES, f"{LEAST_IMAGES} images, {site.drops('cam')}")
        return Outcome(site.sink.num_damaged, tuple(site.states["cam"]))


def one_percent_udp() -> Outcome:
    """1 % of the RTP packets do not arrive, over UDP, for 8 s at 30 frames a second."""
    return _play(lambda port, seed: UdpLossProxy(port, loss=0.01, seed=seed), "udp")


def five_percent_udp() -> Outcome:
    """5 % of the RTP packets do not arrive, over UDP."""
    return _play(lambda port, seed: UdpLossProxy(port, loss=0.05, seed=seed), "udp")


def one_percent_tcp() -> Outcome:
    """1 % of the RTP packets are missing in the TCP stream: the send buffer of the camera was full."""
    return _play(lambda port, seed: LossProxy(port, 0.01, seed=seed), "tcp")


def five_percent_tcp() -> Outcome:
    """5 % of the RTP packets are missing in the TCP stream."""
    return _play(lambda port, seed: LossProxy(port, 0.05, seed=seed), "tcp")


def reordered() -> Outcome:
    """10 % of the RTP packets are overtaken by the next one, over UDP."""
    return _play(lambda port, seed: UdpLossProxy(port, reorder=0.1, seed=seed), "udp")


def delayed() -> Outcome:
    """Each RTP packet is delayed by 100 to 110 ms on its own, over UDP."""
    return _play(lambda port, seed: UdpLossProxy(port, delay_seconds=(0.1, 0.11), seed=seed), "udp")


def cut_packets() -> Outcome:
    """1 % of the RTP packets end early, without a gap in their numbers."""
    return _play(lambda port, seed: DamageProxy(port, 0.01, "cut", seed=seed), "tcp")


def random_headers() -> Outcome:
    """1 % of the RTP packets have a random header."""
    return _play(lambda port, seed: DamageProxy(port, 0.01, "header", seed=seed), "tcp")


def flipped_bits() -> Outcome:
    """Three bits of 1 % of the RTP packets are inverted, without a gap in their numbers."""
    return _play(lambda port, seed: DamageProxy(port, 0.01, "flip", seed=seed), "tcp")


def _scenario(name: str, run: Callable[[], Outcome], shortfall: str = "") -> Scenario:
    return Scenario(name, run, 0, ("live",), never=("failed",), unit="damaged images", shortfall=shortfall)


SCENARIOS = (
    _scenario("loss of 1 % over UDP", one_percent_udp),
    _scenario("loss of 5 % over UDP", five_percent_udp),
    _scenario("loss of 1 % over TCP", one_percent_tcp),
    _scenario("loss of 5 % over TCP", five_percent_tcp),
    _scenario("reordered packets", reordered),
    _scenario("delayed packets", delayed),
    _scenario("cut packets", cut_packets, CUT_LATE),
    _scenario("random headers", random_headers),
    _scenario("inverted bits", flipped_bits, DETECTED),
)
