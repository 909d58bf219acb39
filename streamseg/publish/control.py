"""The control channel: JSON requests and their answers.

    request   {"id": 7, "op": "prompts.set", "args": {"prompts": […]}}      id: a number or a string, sent back
    answer    {"id": 7, "ok": true, "result": …}   or   {"id": 7, "ok": false, "error": "one line"}

ROUTER on the server's side; a DEALER or REQ socket of any language is a client.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import zmq

from streamseg.errors import DataError, PublishError, StreamsegError, WireError
from streamseg.publish.endpoints import Context, bind, connect, open_socket
from streamseg.publish.thread import SocketThread, WakeUp
from streamseg.resources import Resource
from streamseg.wire import fields

__all__ = ["ControlClient", "ControlServer", "Op"]

Op = Callable[[dict[str, Any]], Any]
"""What answers a request: gets `args`, returns something that JSON can hold, raises StreamsegError for bad args."""

MAX_REQUEST_BYTES: Final = 1 << 20
"""A thousand prompts, masks among them."""
MAX_ANSWER_BYTES: Final = 4 << 20
MAX_ENVELOPE_PARTS: Final = 2
"""A DEALER's identity, and the empty part that a REQ adds."""
QUEUE_MESSAGES: Final = 64
"""Per client."""
LINGER_MS: Final = 250
"""Lets the last answer leave."""


def answer(ops: Mapping[str, Op], body: bytes) -> bytes:
    """The answer to one request: pure but for what the op does, and never an error for what a client sent."""
    request_id: int | str | None = None
    try:
        request = fields.parse_json(body, "request", MAX_REQUEST_BYTES)
        request_id = _request_id(request)
        name = fields.text(request, "op")
        args = fields.mapping(request, "args", default={})
        if name not in ops:
            raise WireError(f"unknown op {name[:60]!r}; {', '.join(sorted(ops))} are known")
        result = ops[name](args)
        return fields.dump_json({"id": request_id, "ok": True, "result": result}, "result")
    except (StreamsegError, LookupError, TypeError, ValueError) as error:
        # The latter three are what an op meets when it takes the args at their word.
        words = str(error) if isinstance(error, StreamsegError) else f"{type(error).__name__}: {error}"
        return fields.dump_json({"id": request_id, "ok": False, "error": " ".join(words.split())}, "error")


def _milliseconds_until(deadline: float) -> int:
    return max(math.ceil((deadline - time.monotonic()) * 1000), 0)


def _request_id(request: dict[str, Any]) -> int | str:
    if isinstance(request.get("id"), str):
        return fields.text(request, "id")
    return fields.integer(request, "id")


class ControlServer(Resource):
    """Answers requests in a thread of its own, one after the other.

    Args:
        endpoint: where to bind; port 0 lets the system choose.
        ops: by name. They are called in the server's thread and hold up other clients while they run. A
            StreamsegError, LookupError, TypeError or ValueError is answered; anything else is a mistake
            in the op, ends the channel and is raised by `check` and `close`.
        allow_public: allow an endpoint that other machines can reach.
        context: whose socket this is; by default one of its own, which ends with it.

    Raises:
        PublishError: the endpoint cannot be bound.
    """

    def __init__(
        self, endpoint: str, ops: Mapping[str, Op], *, allow_public: bool = False, context: Context | None = None
    ) -> None:
        self._ops = dict(ops)
        self._context = zmq.Context() if context is None else context
        self._owns_context = context is None
        self._socket = open_socket(
            self._context,
            zmq.ROUTER,
            linger_ms=LINGER_MS,
            max_message_bytes=MAX_REQUEST_BYTES,
            queue_messages=QUEUE_MESSAGES,
        )
        try:
            self.endpoint = bind(self._socket, endpoint, allow_public=allow_public)
            """The real address."""
        except BaseException:
            if self._owns_context:
                self._context.term()
            raise
        self._is_closing = threading.Event()
        self._wake_up = WakeUp()
        # The socket is the thread's from its start on.
        self._thread = SocketThread("streamseg control", self._serve, lambda: None)
        self._thread.start()

    def check(self) -> None:
        """Raise PublishError, with its cause, once an op has failed by mistake."""
        self._thread.check()

    def close(self) -> None:
        """Finish the request at hand and let go of the socket; raises as `check` does. May be repeated."""
        if self._is_closing.is_set():
            return
        self._is_closing.set()
        self._wake_up.set()
        self._thread.join()
        self._wake_up.close()
        if self._owns_context:
            self._context.term()
        self._thread.check()

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._wake_up.fileno(), zmq.POLLIN)
        poller.register(self._socket, zmq.POLLIN)
        try:
            while not self._is_closing.is_set():
                poller.poll()
                self._wake_up.clear()
                while not self._is_closing.is_set() and self._socket.poll(0):
                    *envelope, body = self._socket.recv_multipart()
                    if len(envelope) <= MAX_ENVELOPE_PARTS:
                        # A ROUTER drops what a client has no room for; it never waits.
                        self._socket.send_multipart([*envelope, answer(self._ops, body)])
        except zmq.ContextTerminated:
            return  # the context's owner wants the socket closed
        finally:
            self._socket.close()


class ControlClient(Resource):
    """Asks a `ControlServer`; for one thread.

        with ControlClient("tcp://127.0.0.1:5556") as control:
            control.call("prompts.set", {"prompts": [{"id": "cup", "points": [[320, 240]]}]})

    Args:
        endpoint: where the server is.
        timeout_seconds: how long `call` waits for an answer.
        context: whose socket this is; by default one of its own, which ends with it.

    Raises:
        PublishError: no endpoint.
    """

    def __init__(self, endpoint: str, *, timeout_seconds: float = 5.0, context: Context | None = None) -> None:
        self.endpoint = endpoint
        self.timeout_seconds = timeout_seconds
        self._ids = itertools.count(1)
        self._context = zmq.Context() if context is None else context
        self._owns_context = context is None
        self._socket = open_socket(
            self._context,
            zmq.DEALER,
            linger_ms=0,
            max_message_bytes=MAX_ANSWER_BYTES,
            queue_messages=QUEUE_MESSAGES,
        )
        # A request that nobody is there to take must not be carried out later, when it has been given up.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        try:
            connect(self._socket, endpoint)
        except BaseException:
            if self._owns_context:
                self._context.term()
            raise

    def call(self, op: str, args: Mapping[str, Any] | None = None) -> Any:
        """Have `op` done and return its result.

        Raises:
            DataError: the server refuses; the message is its own.
            PublishError: no answer in time.
            WireError: the args are too long or no JSON, or the answer is none.
        """
        request_id = next(self._ids)
        body = fields.dump_json({"id": request_id, "op": op, "args": dict(args or {})}, "request")
        if len(body) > MAX_REQUEST_BYTES:
            raise WireError(f"the request has {len(body)} bytes, at most {MAX_REQUEST_BYTES} are allowed")
        deadline = time.monotonic() + self.timeout_seconds
        if self._socket.poll(_milliseconds_until(deadline), zmq.POLLOUT):
            self._socket.send(body, zmq.DONTWAIT)
        while self._socket.poll(_milliseconds_until(deadline)):
            reply = fields.parse_json(self._socket.recv_multipart()[-1], "answer", MAX_ANSWER_BYTES)
            if reply.get("id") == request_id:  # others answer calls that were given up
                if reply.get("ok") is True:
                    return reply.get("result")
                raise DataError(f"{op}: {fields.text(reply, 'error')}")
        raise PublishError(
            f"no answer from {self.endpoint} within {self.timeout_seconds:g} s; is streamseg running there?"
        )

    def close(self) -> None:
        """Let go of the socket. May be repeated."""
        self._socket.close()
        if self._owns_context and not self._context.closed:
            self._context.term()
