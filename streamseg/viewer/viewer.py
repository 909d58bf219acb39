"""Starting, feeding and stopping the page."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
from collections.abc import Sequence
from typing import Final

from streamseg.config import ViewerConfig
from streamseg.errors import ConfigError, PublishError
from streamseg.pipeline import FrameResult
from streamseg.resources import Resource
from streamseg.viewer.access import Access, check_token, is_loopback, new_token
from streamseg.viewer.hub import Hub, Run

__all__ = ["TOKEN_VARIABLE", "Viewer"]

logger = logging.getLogger(__name__)

TOKEN_VARIABLE: Final = "STREAMSEG_VIEWER_TOKEN"
"""Environment variable with the token, for an address that stays the same."""
STOP_SECONDS: Final = 0.9
"""After that a thread that has not ended is left behind."""
CLOSE_SECONDS: Final = 0.3
"""For browsers to be told that the server ends."""
BACKLOG: Final = 64


class Viewer(Resource):
    """Serves the page, and shows it what is written.

    A sink: `write` puts the frame into its source's slot, where a newer one replaces it, and returns. Everything
    else happens in an event loop in a thread of the viewer's own, and only while somebody watches.

    Args:
        source_ids: whose frames will come, in the order of the page.
        config: where to listen, and how pictures are sent.
        token: what the address must hold; None: a random one.

    Raises:
        ConfigError: aiohttp is not installed, or the token is none.
        PublishError: the address cannot be listened at, or only with `allow_public`.
    """

    def __init__(
        self, source_ids: Sequence[str], config: ViewerConfig | None = None, *, token: str | None = None
    ) -> None:
        config = config if config is not None else ViewerConfig()
        try:
            from streamseg.viewer.server import Server
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "aiohttp":
                raise
            raise ConfigError(
                "the page needs aiohttp, which is not installed; run: pip install 'streamseg[viewer]'"
            ) from error
        self._token = new_token() if token is None else check_token(token)
        self._listener = _listen(config)
        self._port: int = self._listener.getsockname()[1]
        self._host = config.host
        self._is_closed = False
        self._failure: BaseException | None = None
        self._hub = Hub(source_ids, max_width=config.max_width, jpeg_quality=config.jpeg_quality)
        self._application = Server(self._hub, Access(self._token, config.host)).application()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="viewer", daemon=True)
        self._thread.start()

    @classmethod
    def from_config(cls, config: ViewerConfig, source_ids: Sequence[str]) -> Viewer:
        """With the token in `STREAMSEG_VIEWER_TOKEN`, if there is one."""
        return cls(source_ids, config, token=os.environ.get(TOKEN_VARIABLE))

    @property
    def port(self) -> int:
        """The real one."""
        return self._port

    @property
    def url(self) -> str:
        """What to open in a browser; holds the token."""
        # Where it listens everywhere, it is found under the machine's name.
        host = socket.gethostname() if self._host in ("0.0.0.0", "::") else self._host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}/?token={self._token}"

    @property
    def num_clients(self) -> int:
        """Pages that are open."""
        return len(self._hub.clients)

    def attach(self, run: Run) -> None:
        """Let the page see and steer a run; before that, it shows frames alone."""
        self._hub.run = run

    def write(self, result: FrameResult) -> None:
        """Show one frame; takes microseconds.

        Raises:
            PublishError: the viewer is closed or has failed, or the source is none of its own.
        """
        source_id = result.frame.source_id
        self.check()
        if self._is_closed:
            raise PublishError("the viewer is closed; nothing can be shown any more")
        slot = self._hub.slots.get(source_id)
        if slot is None:
            raise PublishError(f"the viewer has no source {source_id!r}; it has {', '.join(self._hub.slots)}")
        slot.put(result)
        for channel in (self._hub.packed[source_id], self._hub.drawn[source_id]):
            if channel.is_wanted:
                with contextlib.suppress(RuntimeError):  # the loop has just ended
                    self._loop.call_soon_threadsafe(channel.wake)

    def check(self) -> None:
        """Raise PublishError, with its cause, once the viewer has failed."""
        if self._failure is not None:
            raise PublishError(f"the viewer has failed: {self._failure}") from self._failure

    def close(self) -> None:
        """Tell the browsers and end; takes less than a second. May be repeated.

        Raises:
            PublishError: the viewer has failed.
        """
        if self._is_closed:
            return
        self._is_closed = True
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            logger.warning("the thread %r did not end in time and is left behind", self._thread.name)
        self.check()

    def _work(self) -> None:
        """What the thread does."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except BaseException as error:  # raised by `check`
            self._failure = error
        finally:
            self._listener.close()

    async def _serve(self) -> None:
        """Serve until `close`, or until a part fails, whose error is raised."""
        from aiohttp import web

        runner = web.AppRunner(self._application, access_log=None, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        tasks = [asyncio.create_task(work) for work in (self._hub.serve(), self._ended.wait())]
        try:
            await web.SockSite(runner, self._listener, backlog=BACKLOG).start()
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing = [asyncio.create_task(client.close()) for client in self._hub.clients]
            if closing:
                await asyncio.wait(closing, timeout=CLOSE_SECONDS)
            for task in (*tasks, *closing):
                task.cancel()
            ended = await asyncio.gather(*tasks, *closing, return_exceptions=True)
            await runner.cleanup()
        # Also where the end was asked for before a part had failed, or just after.
        for error in (*ended, self._hub.failure):
            if isinstance(error, BaseException) and not isinstance(error, ConnectionError | asyncio.CancelledError):
                raise error


def _listen(config: ViewerConfig) -> socket.socket:
    """A socket that listens where the configuration says."""
    if not config.allow_public and not is_loopback(config.host):
        raise PublishError(
            f"a page at {config.host} can be reached from other machines, without encryption: use 127.0.0.1,"
            " or set viewer.allow_public"
        )
    where = f"cannot serve the page at {config.host} port {config.port}"
    try:
        # `localhost` is the same machine by either protocol, and every browser tries the older one.
        family = socket.AF_INET if config.host == "localhost" else socket.AF_UNSPEC
        found = socket.getaddrinfo(config.host, config.port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PublishError(
                f"{where}: it is in use; choose another viewer.port, or 0 to let the system choose"
            ) from error
        raise PublishError(f"{where}: {error.strerror or error}") from error
