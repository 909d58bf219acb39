"""An application is served until it is cancelled, at an address that the system may choose."""

import asyncio

import pytest

pytest.importorskip("aiohttp", reason="needs the extra viewer")

import aiohttp
from aiohttp import web

from streamseg.errors import PublishError
from streamseg.label_studio.serving import serve


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


def application() -> web.Application:
    served = web.Application()
    served.add_routes([web.get("/", hello)])
    return served


def test_requests_are_answered_until_the_end_and_a_port_is_used_once():
    async def work():
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(application(), "127.0.0.1", 0, address.set_result))
        url = await address
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            text = await response.text()
        with pytest.raises(PublishError, match=r"cannot listen at 127\.0\.0\.1:"):
            await serve(application(), "127.0.0.1", int(url.rpartition(":")[2]), print)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        return text, serving.cancelled()

    assert asyncio.run(work()) == ("hello", True)
