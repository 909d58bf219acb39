"""Create the worker of a fleet, in its own process: the one that starts it needs neither torch nor its memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamseg.fleet.worker import CameraWorker

__all__ = ["create_worker"]


def create_worker(values: Mapping[str, Any], host: str) -> CameraWorker:
    """Return a worker.

    Args:
        values: configuration of the fleet, as JSON values.
        host: address of this machine.

    Raises:
        StreamsegError: its run cannot start.
    """
    from streamseg.cli.modes import open_mode
    from streamseg.fleet.worker import CameraWorker

    return CameraWorker(values, open_mode, host)
