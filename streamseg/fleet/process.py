"""An object in a process of its own: its methods are called by JSON over a pipe."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

from streamseg.errors import StreamsegError
from streamseg.resources import Resource

__all__ = ["ProcessError", "WorkerProcess"]

KILL_SECONDS: Final = 2.0
"""Time for a process to end by itself, and again after SIGKILL."""


class ProcessError(StreamsegError, OSError):
    """A process that has ended, or does not answer in time."""


class WorkerProcess(Resource):
    """A process that creates one object and serves calls of its methods, one at a time.

    Nothing is shared with this process, and a call that hangs there can be ended with `close`. The process ends with
    this one, however that ends: its pipe is closed then. Signals of the terminal do not reach it.

    Args:
        create: returns the object; a function or class of a module, because the process imports it.
        arguments: JSON values, or functions of modules, for `create`.
        environment: variables to set for the process.
    """

    def __init__(self, create: Callable[..., Any], *arguments: Any, environment: dict[str, str] | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, create, arguments, environment or {}), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        """Id of the process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return not self._process.is_alive()

    def call(self, method: str, *arguments: Any, timeout_seconds: float | None = None) -> Any:
        """Call a method of the object, which is created by then, and return its JSON result.

        Raises:
            StreamsegError: the message of the one that the method, or the creation of the object, raised.
            ProcessError: the process has ended, or did not answer in time; it is of no more use.
        """
        try:
            self._pipe.send_bytes(json.dumps([method, arguments]).encode())
            if not self._pipe.poll(timeout_seconds):
                raise ProcessError(f"process {self.pid} did not answer within {timeout_seconds:g} s")
            reply = json.loads(self._pipe.recv_bytes())
        except (EOFError, ConnectionError) as error:
            raise ProcessError(f"process {self.pid} has ended {self._end()}") from error
        if "error" in reply:
            raise StreamsegError(reply["error"])
        return reply["result"]

    def close(self) -> None:
        """End the process, within `KILL_SECONDS` by its own, else by force. Idempotent."""
        self._pipe.close()
        self._process.join(KILL_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the process by force. Idempotent."""
        if self._process.is_alive():
            self._process.kill()
            self._process.join(KILL_SECONDS)

    def _end(self) -> str:
        self._process.join(KILL_SECONDS)
        code = self._process.exitcode
        if code is None:
            return "its connection"
        return f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit code {code}"


def _serve(
    pipe: Connection, create: Callable[..., Any], arguments: tuple[Any, ...], environment: dict[str, str]
) -> None:
    """Create the object, and serve calls until the other end of the pipe is closed."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the terminal's; the parent decides
    os.environ.update(environment)
    subject: Any = None
    failure: str | None = None
    try:
        subject = create(*arguments)
    except StreamsegError as error:
        failure = str(error)
    with contextlib.suppress(EOFError, ConnectionError):  # the parent has closed the pipe, or has ended
        while True:
            method, values = json.loads(pipe.recv_bytes())
            reply: dict[str, Any] = {"error": failure}
            if failure is None:
                try:
                    reply = {"result": getattr(subject, method)(*values)}
                except StreamsegError as error:
                    reply = {"error": str(error)}
            pipe.send_bytes(json.dumps(reply).encode())
    if subject is not None:
        subject.close()
    if len(sys._current_frames()) > 1:
        os._exit(0)  # a thread inside a library would abort the process at its end
