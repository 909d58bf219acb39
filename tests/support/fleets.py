"""Configurations of fleets, and what arrives from them."""

from __future__ import annotations

import functools
import threading
from typing import Any

from streamseg.config import FleetConfig
from streamseg.fleet.session import FleetSession
from streamseg.fleet.status import FleetStatus
from streamseg.publish import Subscriber
from tests.support import waiting

__all__ = ["RunningFleet", "fleet_config", "wait_for_sources", "wait_until"]

WAIT_SECONDS = 600.0
"""Time limit for what follows from the start of processes, which takes long on a busy machine."""

wait_until = functools.partial(waiting.wait_until, seconds=WAIT_SECONDS)


def fleet_config(*cameras: str, **changes: Any) -> FleetConfig:
    """Return a fleet of two workers with heartbeats that suit a busy machine."""
    values: dict[str, Any] = {
        "workers": [{"name": "w", "count": 2}],
        "cameras": [{"type": "scene", "id": name, "width": 320, "height": 240} for name in cameras],
        "publish": {"endpoint": "tcp://127.0.0.1:0", "control_endpoint": "tcp://127.0.0.1:0"},
        "heartbeat_seconds": 0.1,
        "lost_seconds": 20.0,
        "start_seconds": 1000.0,
    }
    return FleetConfig.model_validate({**values, **changes})


def wait_for_sources(subscriber: Subscriber, *names: str) -> None:
    """Wait until messages of all these sources have arrived after the call."""
    found: set[str] = set()

    def has_all() -> bool:
        message = subscriber.receive(0.1)
        if message is not None:
            found.add(message.source_id)
        return set(names) <= found

    wait_until(has_all)


class RunningFleet:
    """A fleet whose controller runs in another thread."""

    def __init__(self, session: FleetSession) -> None:
        self.session = session
        self.status: FleetStatus | None = None
        self._thread = threading.Thread(target=session.controller.run, args=(self._keep,))
        self._thread.start()

    def _keep(self, status: FleetStatus) -> None:
        self.status = status

    def camera(self, name: str) -> Any:
        """Return the status of a camera, which must be part of the fleet."""
        return next(one for one in self.status.cameras if one.name == name) if self.status else None

    def are_live(self, *names: str) -> bool:
        live = {one.name for one in self.status.cameras if one.state == "live"} if self.status else set()
        return set(names) <= live

    def stop(self) -> None:
        self.session.controller.stop()
        self._thread.join()
