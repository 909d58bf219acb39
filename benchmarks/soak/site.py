"""RTSP cameras on loopback for a soak: healthy ones, dead ones, and ones whose connection is cut again and again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.support.fault_proxy import FaultProxy
from tests.support.loopback import LoopbackServer
from tests.support.rtsp_server import RtspServer

__all__ = ["cameras"]

FPS = 15
SIZE = (360, 640)
CUT_SECONDS = 20.0
"""Time between two cuts of a flapping camera."""


@contextmanager
def cameras(
    num_healthy: int, num_dead: int, num_flapping: int, max_fps: float | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Run cameras; yield their sections of the configuration. A dead one accepts connections, and is silent.

    Args:
        num_healthy: number of cameras without faults.
        num_dead: number of silent cameras.
        num_flapping: number of cameras that are cut again and again.
        max_fps: maximum rate of processed frames of each; None: the camera's.
    """
    with ExitStack() as stack:
        sections = []
        for number in range(num_healthy):
            server = stack.enter_context(RtspServer(size=SIZE, fps=FPS))
            sections.append(_section(f"cam{number}", server.port))
        for number in range(num_dead):
            silent = stack.enter_context(LoopbackServer(lambda connection: connection.recv(1 << 20)))
            sections.append(_section(f"dead{number}", silent.port))
        proxies = []
        for number in range(num_flapping):
            server = stack.enter_context(RtspServer(size=SIZE, fps=FPS))
            proxies.append(stack.enter_context(FaultProxy(server.port)))
            sections.append(_section(f"flapping{number}", proxies[-1].port))
        stack.enter_context(_cutting(proxies))
        if max_fps is not None:
            for section in sections:
                section["max_fps"] = max_fps
        yield sections


def _section(name: str, port: int) -> dict[str, Any]:
    return {"type": "stream", "id": name, "url": f"rtsp://127.0.0.1:{port}/live"}


@contextmanager
def _cutting(proxies: list[FaultProxy]) -> Iterator[None]:
    ended = threading.Event()

    def cut() -> None:
        while not ended.wait(CUT_SECONDS):
            for proxy in proxies:
                proxy.cut()

    thread = threading.Thread(target=cut, name="cuts")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
