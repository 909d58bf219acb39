"""The HTTP interface that Label Studio expects of a backend; https://labelstud.io/guide/ml_create.

    GET  /health, /       {"status": "UP", "model_class": "streamseg"}
    POST /setup           {"project", "schema": XML, …} -> {"model_version": "…"}; 400 without a tag for masks
    POST /predict         {"tasks": [{"id", "data": {"image": "…"}}], "label_config": XML, "params": {"context": …}}
                          -> {"results": [{"result": [regions], "score", "model_version"}]}, one per task
    POST /webhook         {} (nothing is learnt)

Requests are JSON of at most `MAX_BODY_BYTES`. An error is {"error": "one line"} with status 400; of several tasks, one
that fails has no regions and an `error`. One image is computed at a time, and `MAX_WAITING` requests may wait.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from streamseg.errors import DataError, StreamsegError, reason_of
from streamseg.label_studio.images import MAX_IMAGE_BYTES, ImageAddress, ImagePlaces
from streamseg.label_studio.labels import LabelTags, parse_label_config
from streamseg.label_studio.regions import Context, parse_context, regions_of
from streamseg.publish.endpoints import is_loopback
from streamseg.structures.arrays import ImageArray
from streamseg.structures.message import MessageObject
from streamseg.structures.prompt import Prompt

__all__ = ["Backend", "ImageObjects"]

logger = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 4 << 20
MAX_TASKS: Final = 64
MAX_WAITING: Final = 16
"""Requests that wait or are computed; more get status 503."""
FETCH_SECONDS: Final = 20.0


class ImageObjects(Protocol):
    """Selects the objects of an image; called by one thread at a time."""

    def __call__(self, image: ImageArray, prompt: Prompt) -> Sequence[MessageObject]:
        """Return the objects, best first, with masks at the size of the image, uint8 (H, W, 3) RGB."""


class Backend:
    """Handlers of the routes.

    Args:
        select: selects objects.
        places: the images that tasks may refer to.
        decode: decodes the content of an image file, given with its name; raises StreamsegError.
        model_version: identifies the weights in predictions.
        token: Label Studio's access token, sent with downloads; None: without.
        is_local: accept requests to this machine's own names only, so that no page in a browser can reach the backend
            under a name of its own.
    """

    def __init__(
        self,
        select: ImageObjects,
        places: ImagePlaces,
        *,
        decode: Callable[[bytes, str], ImageArray],
        model_version: str,
        token: str | None = None,
        is_local: bool = True,
    ) -> None:
        self._select = select
        self._places = places
        self._decode = decode
        self._model_version = model_version
        self._token = token
        self._is_local = is_local
        self._computing = asyncio.Semaphore(1)
        self._num_waiting = 0

    def application(self) -> web.Application:
        """Create the aiohttp application."""
        application = web.Application(middlewares=[_one_line_errors, self._guard], client_max_size=MAX_BODY_BYTES)
        application.add_routes(
            [
                web.get("/", self._health),
                web.get("/health", self._health),
                web.post("/setup", self._setup),
                web.post("/predict", self._predict),
                web.post("/webhook", self._webhook),
            ]
        )
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._is_local and not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
            raise web.HTTPForbidden(text="this backend is reached as localhost or 127.0.0.1 only")
        return await handler(request)

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "UP", "model_class": "streamseg"})

    async def _setup(self, request: web.Request) -> web.Response:
        values = await _body(request)
        if values.get("schema"):
            parse_label_config(values["schema"])
        return web.json_response({"model_version": self._model_version})

    async def _webhook(self, request: web.Request) -> web.Response:
        await _body(request)
        return web.json_response({})

    async def _predict(self, request: web.Request) -> web.Response:
        values = await _body(request)
        tasks = values.get("tasks")
        if not isinstance(tasks, list) or not 0 < len(tasks) <= MAX_TASKS:
            raise DataError(f"tasks must be a list of 1 to {MAX_TASKS} tasks")
        tags = parse_label_config(values.get("label_config") or "")
        params = values.get("params")
        context = params.get("context") if isinstance(params, Mapping) else None
        if self._num_waiting >= MAX_WAITING:
            raise web.HTTPServiceUnavailable(text=f"{MAX_WAITING} requests are waiting; try again later")
        self._num_waiting += 1
        try:
            results = [await self._result(task, tags, context, is_only=len(tasks) == 1) for task in tasks]
        finally:
            self._num_waiting -= 1
        return web.json_response({"results": results, "model_version": self._model_version})

    async def _result(self, task: Any, tags: LabelTags, context: Any, *, is_only: bool) -> dict[str, Any]:
        """Return the prediction of one task; of several, one that fails has no regions."""
        try:
            data = task.get("data") if isinstance(task, Mapping) else None
            if not isinstance(data, Mapping) or tags.image_key not in data:
                raise DataError(f"a task needs data with the key {tags.image_key!r}")
            image = await self._image(data[tags.image_key])
            size = (image.shape[0], image.shape[1])
            drawn: Context = parse_context(context, size)
            async with self._computing:
                objects = await asyncio.to_thread(self._select, image, drawn.prompt)
        except StreamsegError as error:
            if is_only:
                raise
            return {"result": [], "score": 0.0, "model_version": self._model_version, "error": _one_line(error)}
        regions = regions_of(objects, tags, size, drawn.label)
        score = max((one.score for one in objects), default=0.0)
        return {"result": regions, "score": round(score, 4), "model_version": self._model_version}

    async def _image(self, reference: object) -> ImageArray:
        """Read or download an image; raises StreamsegError."""
        found = self._places.find(reference)
        name = str(reference)[:200]
        if isinstance(found, ImageAddress):
            content = await self._download(found, name)
        else:
            content = await asyncio.to_thread(_read, found, name)
        return await asyncio.to_thread(self._decode, content, name)

    async def _download(self, address: ImageAddress, name: str) -> bytes:
        """Download from the allowed Label Studio, following no redirection; raises DataError."""
        headers = {"Authorization": f"Token {self._token}"} if self._token is not None else {}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=FETCH_SECONDS)) as session,
                session.get(str(address), headers=headers, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise DataError(f"{name}: Label Studio answered with status {response.status}")
                content = bytearray()
                async for part in response.content.iter_chunked(1 << 16):
                    content += part
                    if len(content) > MAX_IMAGE_BYTES:
                        raise DataError(f"{name} has more than {MAX_IMAGE_BYTES >> 20} MB")
                return bytes(content)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DataError(f"{name} cannot be downloaded: {_one_line(error)}") from error


@web.middleware
async def _one_line_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return web.json_response({"error": error.text or error.reason}, status=error.status)
    except StreamsegError as error:
        logger.warning("%s: %s", request.path, _one_line(error))
        return web.json_response({"error": _one_line(error)}, status=400)


async def _body(request: web.Request) -> dict[str, Any]:
    """Return the JSON of a request.

    Only JSON by its type is accepted: pages of other origins cannot send it without permission.
    """
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send application/json")
    try:
        values = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"the request is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise DataError("the request must be a JSON object")
    return values


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {name}: {reason_of(error)}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
