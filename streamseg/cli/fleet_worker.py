"""Create the worker of a fleet, in its own process: the one that starts it needs neither torch nor its memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamseg.fleet.worker import CameraWorker

__all__ = ["create_worker"]


def create_worker(values: Mapping[str, Any], log_level: str, log_format: str, host: str) -> CameraWorker:
    """Return a worker, and set up the log of its process.

    Args:
        values: configuration of the fleet, as JSON values.
        log_level: level of the log, see `logs`.
        log_format: `text` or `json`.
        host: address of this machine.

    Raises:
        StreamsegError: its run cannot start.
    """
    from streamseg.cli.logs import set_up_process_logs
    from streamseg.cli.modes import open_mode
    from streamseg.fleet.worker import CameraWorker

    set_up_process_logs(log_level, log_format)
    return CameraWorker(values, open_mode, host)
