"""Workers of a fleet without a network: they start in an instant, and publish messages of the cameras they hold."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamseg.config import FleetConfig
from streamseg.errors import DataError, PublishError
from streamseg.fleet.lease import Lease
from streamseg.fleet.report import CameraReport, WorkerReport
from streamseg.fleet.worker_prompts import WorkerPrompts
from streamseg.publish import Publisher
from streamseg.publish.keys import ServerKeys, load_public_key_of
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Prompt
from streamseg.wire.prompt_statuses import prompt_statuses_to_json
from tests.support.messages import disc, make_message, make_object

__all__ = ["PretendWorker"]

PERIOD_SECONDS = 0.02
SIZE = (48, 64)
"""(H, W) of the images."""


class PretendWorker:
    """Stands for `CameraWorker`: same calls, same reports, real messages.

    A camera whose `frame_id` is `refused` cannot be opened; one called `poison` ends the process that opens it. A
    prompt called `unloadable` is refused. Each camera has the prompts in force as its prompt statuses.

    A camera whose `frame_id` is a path admits one connection: a second one creates the file `.twice` beside it.

    Args:
        values: the fleet's configuration, of which only keys and the time of the lease are used.
        host: address for the messages.
    """

    def __init__(self, values: Mapping[str, Any], host: str = "127.0.0.1") -> None:
        config = FleetConfig.model_validate(values)
        self._publisher = Publisher(f"tcp://{host}:0", allow_public=True, keys=_server_keys(config))
        self._cameras: dict[str, int] = {}
        self._held: dict[str, HeldFile] = {}
        self._refused: dict[str, str] = {}
        self._in_force: tuple[Prompt, ...] = ()
        self._is_closing = threading.Event()
        self._lease = Lease(config.lost_seconds, lambda: self._hold({}))
        self._prompts = WorkerPrompts(self._set_prompts)
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._thread.start()

    def exchange(
        self,
        heard: Sequence[Any] | None = None,
        cameras: Sequence[Mapping[str, Any]] | None = None,
        prompts: Sequence[Any] | None = None,
    ) -> dict[str, Any]:
        with self._lease.heartbeat(heard) as is_accepted:
            if is_accepted and prompts is not None:
                self._prompts.want(prompts[0], prompts[1], list(self._cameras))
            if is_accepted and cameras is not None:
                self._hold({str(camera["id"]): camera for camera in cameras})
            return WorkerReport(
                self._lease.incarnation,
                self._lease.next_number(),
                self._publisher.endpoint,
                "0",
                os.getpid(),
                "here",
                {name: self._report(name, count) for name, count in self._cameras.items()},
                dict(self._refused),
                self._prompts.reply,
            ).as_json()

    def close(self) -> None:
        self._is_closing.set()
        self._thread.join()
        self._prompts.close()
        self._lease.close()
        self._publisher.close()

    def _hold(self, names: Mapping[str, Mapping[str, Any]]) -> None:
        if "poison" in names:
            os.kill(os.getpid(), signal.SIGKILL)
        if "broken" in names:
            raise PublishError("the run of this worker has ended: broken")
        self._refused = {name: f"no {name}" for name, one in names.items() if one["frame_id"] == "refused"}
        for name in [name for name in self._held if name not in names]:
            self._held.pop(name).close()
        for name, one in names.items():
            if str(one["frame_id"]).startswith("/") and name not in self._held:
                self._held[name] = HeldFile(Path(one["frame_id"]))
        self._cameras = {name: self._cameras.get(name, 0) for name in names if name not in self._refused}

    def _set_prompts(self, prompts: Sequence[Prompt]) -> None:
        if any(prompt.prompt_id == "unloadable" for prompt in prompts):
            raise DataError("prompt 'unloadable' cannot be loaded")
        self._in_force = tuple(prompts)

    def _report(self, name: str, count: int) -> CameraReport:
        mine = [prompt.prompt_id for prompt in self._in_force if prompt.source_id in (None, name)]
        statuses = prompt_statuses_to_json([PromptStatus(prompt_id, "none", 0.0, -1) for prompt_id in mine])
        return CameraReport("live", 50.0, 50.0, 2.0, count, 0, 1.0, image_size=SIZE, prompts=statuses)

    def _publish(self) -> None:
        while not self._is_closing.wait(PERIOD_SECONDS):
            for name in list(self._cameras):
                self._cameras[name] = self._cameras.get(name, 0) + 1
                self._publisher.publish(
                    make_message(make_object(disc(9), 32, 8), source_id=name, captured_ns=time.time_ns(), size=SIZE)
                )


class HeldFile:
    """A camera that admits one connection: a file with a lock, which ends with its process."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            path.with_suffix(".twice").touch()

    def close(self) -> None:
        self._file.close()


def _server_keys(config: FleetConfig) -> ServerKeys | None:
    curve = config.publish.curve
    if curve.secret_key is None:
        return None
    return ServerKeys.load(curve.secret_key, read=(load_public_key_of(curve.secret_key),), control=())
