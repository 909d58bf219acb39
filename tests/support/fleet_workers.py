"""Workers of a fleet without a network: they start in an instant, and publish messages of the cameras they hold."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from streamseg.errors import PublishError
from streamseg.fleet.report import CameraReport, WorkerReport
from streamseg.publish import Publisher
from tests.support.messages import disc, make_message, make_object

__all__ = ["PretendWorker"]

PERIOD_SECONDS = 0.02


class PretendWorker:
    """Stands for `CameraWorker`: same calls, same reports, real messages.

    A camera whose `frame_id` is `refused` cannot be opened; one called `poison` ends the process that opens it.

    Args:
        values: the fleet's configuration, which is not used.
        host: address for the messages.
    """

    def __init__(self, values: Mapping[str, Any], host: str = "127.0.0.1") -> None:
        self._incarnation = secrets.token_hex(4)
        self._publisher = Publisher(f"tcp://{host}:0", allow_public=True)
        self._cameras: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._thread.start()

    def exchange(self, cameras: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
        if cameras is not None:
            names = {str(camera["id"]): camera for camera in cameras}
            if "poison" in names:
                os.kill(os.getpid(), signal.SIGKILL)
            if "broken" in names:
                raise PublishError("the run of this worker has ended: broken")
            self._refused = {name: f"no {name}" for name, one in names.items() if one["frame_id"] == "refused"}
            held = [name for name in names if name not in self._refused]
            self._cameras = {name: self._cameras.get(name, 0) for name in held}
        return WorkerReport(
            self._incarnation,
            self._publisher.endpoint,
            "0",
            os.getpid(),
            "here",
            {name: CameraReport("live", 50.0, 50.0, 2.0, count, 0, 1.0) for name, count in self._cameras.items()},
            dict(self._refused),
        ).as_json()

    def close(self) -> None:
        self._is_closing.set()
        self._thread.join()
        self._publisher.close()

    def _publish(self) -> None:
        while not self._is_closing.wait(PERIOD_SECONDS):
            for name in list(self._cameras):
                self._cameras[name] += 1
                self._publisher.publish(
                    make_message(make_object(disc(9), 32, 8), source_id=name, captured_ns=time.time_ns(), size=(48, 64))
                )
