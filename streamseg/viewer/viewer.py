"""The viewer: a sink of the run that starts, feeds and stops the page's server."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final

from streamseg.config import ViewerConfig
from streamseg.errors import ConfigError, PublishError, reason_of
from streamseg.pipeline import FrameResult
from streamseg.publish.jpeg import EncodeImage, SharedJpeg
from streamseg.resources import Resource
from streamseg.runtime import SinkPolicy
from streamseg.viewer.access import Access, check_host, check_token, new_token
from streamseg.viewer.hub import Hub, Run

__all__ = ["TOKEN_VARIABLE", "Viewer"]

logger = logging.getLogger(__name__)

TOKEN_VARIABLE: Final = "STREAMSEG_VIEWER_TOKEN"
"""Environment variable with the token, for a permanent URL."""
READ_TOKEN_VARIABLE: Final = "STREAMSEG_VIEWER_READ_TOKEN"
"""Environment variable with the token of an address that may only watch; without it there is none."""
STOP_SECONDS: Final = 0.9
"""Time for the thread to end; after that it is abandoned."""
CLOSE_SECONDS: Final = 0.3
"""Time to notify browsers that the server stops."""
BACKLOG: Final = 64


class Viewer(Resource):
    """Serves the page, and displays the results that are written to it.

    As a sink, `write` puts the frame into its source's slot, where a newer one replaces it, and returns. Everything
    else happens in an event loop in the viewer's own thread, and only while a page is open.

    Args:
        source_ids: sources of the frames, in the order of the page.
        config: host, port, image width and JPEG quality.
        token: token that requests must contain; None: a random one.
        read_token: token of an address that may only watch; None: there is none.
        encode_image: encodes images as JPEG of `config.jpeg_quality`, shared with other outputs; thread-safe. None: the
            page encodes its own.

    Raises:
        ConfigError: aiohttp is not installed, a token is invalid, or both are the same.
        PublishError: the server cannot listen on this host and port, or only with `allow_public`.
    """

    policy = SinkPolicy("page", capacity=1, keep="newest")

    def __init__(
        self,
        source_ids: Sequence[str],
        config: ViewerConfig | None = None,
        *,
        token: str | None = None,
        read_token: str | None = None,
        encode_image: EncodeImage | None = None,
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
        self._read_token = None if read_token is None else check_token(read_token)
        if self._read_token == self._token:
            raise ConfigError("the token for watching must differ from the page's token, else everybody may control")
        self._listener = _listen(config)
        self._port: int = self._listener.getsockname()[1]
        self._host = config.host
        self._is_closed = False
        self._failure: BaseException | None = None
        encode_image = encode_image or SharedJpeg(config.jpeg_quality)
        self._hub = Hub(source_ids, max_width=config.max_width, encode_image=encode_image)
        self._application = Server(self._hub, Access(self._token, config.host, self._read_token)).application()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="viewer", daemon=True)
        self._thread.start()

    @classmethod
    def from_config(
        cls, config: ViewerConfig, source_ids: Sequence[str], encode_image: EncodeImage | None = None
    ) -> Viewer:
        """Create a viewer with the tokens in the environment; without `STREAMSEG_VIEWER_TOKEN`, it is a random one."""
        # An empty variable, as of a compose file, is one that is not set.
        read_token = os.environ.get(READ_TOKEN_VARIABLE) or None
        token = os.environ.get(TOKEN_VARIABLE)
        return cls(source_ids, config, token=token, read_token=read_token, encode_image=encode_image)

    @property
    def port(self) -> int:
        """Actual port, also if the configured one is 0."""
        return self._port

    @property
    def url(self) -> str:
        """URL of the page; contains the token."""
        return self._url(self._token)

    @property
    def read_url(self) -> str | None:
        """URL of the page for watching only; None if there is none."""
        return None if self._read_token is None else self._url(self._read_token)

    def _url(self, token: str) -> str:
        # If it listens on all interfaces, the URL contains the machine's name.
        host = socket.gethostname() if self._host in ("0.0.0.0", "::") else self._host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}/?token={token}"

    @property
    def num_clients(self) -> int:
        """Number of open pages."""
        return len(self._hub.listeners)

    def attach(self, run: Run) -> None:
        """Let the page display and control a run; before that, it displays frames only."""
        self._hub.run = run

    def add_source(self, source_id: str, *, is_live: bool) -> None:
        """Display another source, before its first frame. Thread-safe and idempotent."""
        self._in_loop(self._hub.add_source, source_id)

    def remove_source(self, source_id: str) -> None:
        """Display a source no more. Thread-safe and idempotent."""
        self._in_loop(self._hub.remove_source, source_id)

    def write(self, result: FrameResult) -> None:
        """Display one frame; takes microseconds. A frame of a source that is not displayed is ignored.

        Raises:
            PublishError: the viewer is closed or has failed.
        """
        source_id = result.frame.source_id
        self.check()
        if self._is_closed:
            raise PublishError("the viewer is closed; it displays no further frames")
        slot = self._hub.slots.get(source_id)
        packed, drawn = self._hub.packed.get(source_id), self._hub.drawn.get(source_id)
        if slot is None or packed is None or drawn is None:
            return  # it was removed: this is its last frame
        slot.put(result)
        for channel in (packed, drawn):
            if channel.is_wanted:
                with contextlib.suppress(RuntimeError):  # the event loop has just ended
                    self._loop.call_soon_threadsafe(channel.wake)

    def check(self) -> None:
        """Raise PublishError, with its cause, if the viewer has failed."""
        if self._failure is not None:
            raise PublishError(f"the viewer has failed: {self._failure}") from self._failure

    def close(self) -> None:
        """Notify the browsers and stop; takes less than a second. Idempotent.

        Raises:
            PublishError: the viewer has failed.
        """
        if self._is_closed:
            return
        self._is_closed = True
        with contextlib.suppress(RuntimeError):  # the event loop has ended already
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            logger.warning("thread %r did not end in time and was abandoned", self._thread.name)
        self.check()

    def _in_loop(self, change: Callable[[str], None], source_id: str) -> None:
        """Make a change in the event loop, which reads what it changes, and wait for it."""
        done = threading.Event()

        def work() -> None:
            change(source_id)
            done.set()

        with contextlib.suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(work)
            done.wait(STOP_SECONDS)

    def _work(self) -> None:
        """Run the event loop; this is the work of the thread."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except BaseException as error:  # raised by `check`
            self._failure = error
        finally:
            self._listener.close()

    async def _serve(self) -> None:
        """Serve until `close`, or until a part fails; its error is raised."""
        from aiohttp import web

        runner = web.AppRunner(self._application, access_log=None, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        tasks = [asyncio.create_task(work) for work in (self._hub.serve(), self._ended.wait())]
        try:
            await web.SockSite(runner, self._listener, backlog=BACKLOG).start()
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing = [asyncio.create_task(client.close()) for client in self._hub.listeners]
            if closing:
                await asyncio.wait(closing, timeout=CLOSE_SECONDS)
            for task in (*tasks, *closing):
                task.cancel()
            ended = await asyncio.gather(*tasks, *closing, return_exceptions=True)
            await runner.cleanup()
        # Also if `close` was called before a part failed, or just after.
        for error in (*ended, self._hub.failure):
            if isinstance(error, BaseException) and not isinstance(error, ConnectionError | asyncio.CancelledError):
                raise error


def _listen(config: ViewerConfig) -> socket.socket:
    """Open a socket that listens on the configured host and port."""
    check_host(config.host, allow_public=config.allow_public)
    where = f"cannot serve the page at {config.host} port {config.port}"
    try:
        # `localhost` exists in IPv4 and IPv6, and every browser tries IPv4.
        family = socket.AF_INET if config.host == "localhost" else socket.AF_UNSPEC
        found = socket.getaddrinfo(config.host, config.port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PublishError(
                f"{where}: it is in use; choose another viewer.port, or 0 to let the system choose"
            ) from error
        raise PublishError(f"{where}: {reason_of(error)}") from error
