"""Serve an application over HTTP until the process is asked to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from streamseg.errors import PublishError, reason_of

__all__ = ["run_server", "serve"]


def run_server(application: web.Application, host: str, port: int, on_address: Callable[[str], None]) -> None:
    """Serve an application in this thread, see `serve`; ends with KeyboardInterrupt."""
    asyncio.run(serve(application, host, port, on_address))


async def serve(application: web.Application, host: str, port: int, on_address: Callable[[str], None]) -> None:
    """Serve an application until this coroutine is cancelled.

    Args:
        application: the routes.
        host: host to listen on.
        port: port to listen on; 0: the system chooses.
        on_address: called with the actual address, http://HOST:PORT, once requests are accepted.

    Raises:
        PublishError: it cannot listen there.
    """
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise PublishError(f"cannot listen at {host}:{port}: {reason_of(error)}") from error
        bound = runner.addresses[0]
        name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        on_address(f"http://{name}:{bound[1]}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
