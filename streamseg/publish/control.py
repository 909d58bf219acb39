"""Control channel: JSON requests and replies.

    request   {"id": 7, "op": "prompts.set", "args": {"prompts": […]}}      id: a number or string, echoed in the reply
    reply     {"id": 7, "ok": true, "result": …}   or   {"id": 7, "ok": false, "error": "one line"}

The server is a ROUTER socket; a DEALER or REQ socket in any language can be the client.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import zmq

from streamseg.errors import DataError, PublishError, StreamsegError, WireError
from streamseg.publish.authentication import Gate, authenticate_client
from streamseg.publish.endpoints import Context, bind, connect, open_socket
from streamseg.publish.handshakes import Handshakes
from streamseg.publish.keys import ClientKeys, ServerKeys
from streamseg.publish.thread import SocketThread, WakeUp
from streamseg.resources import Resource
from streamseg.wire import json_fields

__all__ = ["ControlClient", "ControlServer", "Op"]

Op = Callable[[dict[str, Any]], Any]
"""Handler of a request: receives `args`, returns a JSON value, raises StreamsegError for invalid args."""

MAX_REQUEST_BYTES: Final = 1 << 20
"""A thousand prompts, including masks."""
MAX_REPLY_BYTES: Final = 4 << 20
MAX_ENVELOPE_PARTS: Final = 2
"""Identity of a DEALER, and the empty part that a REQ adds."""
QUEUE_MESSAGES: Final = 64
"""Queue length per client."""
LINGER_MS: Final = 250
"""Time for the last reply to leave."""


def handle_request(ops: Mapping[str, Op], body: bytes) -> bytes:
    """Return the reply to one request.

    Pure except for the op's effects. Invalid requests get an error reply, never an exception.
    """
    request_id: int | str | None = None
    try:
        request = json_fields.parse_json(body, "request", MAX_REQUEST_BYTES)
        request_id = _request_id(request)
        name = json_fields.text(request, "op")
        args = json_fields.mapping(request, "args", default={})
        if name not in ops:
            raise WireError(f"unknown op {name[:60]!r}; valid ops are {', '.join(sorted(ops))}")
        result = ops[name](args)
        return json_fields.dump_json({"id": request_id, "ok": True, "result": result}, "result")
    except (StreamsegError, LookupError, TypeError, ValueError) as error:
        # An op that does not validate its args raises one of the latter three.
        text = str(error) if isinstance(error, StreamsegError) else f"{type(error).__name__}: {error}"
        return json_fields.dump_json({"id": request_id, "ok": False, "error": " ".join(text.split())}, "error")


def _milliseconds_until(deadline: float) -> int:
    return max(math.ceil((deadline - time.monotonic()) * 1000), 0)


def _request_id(request: dict[str, Any]) -> int | str:
    if isinstance(request.get("id"), str):
        return json_fields.text(request, "id")
    return json_fields.integer(request, "id")


class ControlServer(Resource):
    """Serves requests sequentially in its own thread.

    Args:
        endpoint: address to bind; port 0 lets the system choose a port.
        ops: handlers by name. They run in the server's thread and delay other clients while they run. A
            StreamsegError, LookupError, TypeError or ValueError becomes an error reply. Any other exception is a bug
            in the op: it ends the channel and is raised by `check` and `close`.
        keys: encrypt the channel with CURVE, and admit only clients with a key for `control`; None: no encryption.
        allow_public: allow an endpoint that other machines can reach without `keys`.
        context: ZeroMQ context of the socket. By default the server creates one and terminates it. In a shared context,
            only one server can have keys.

    Raises:
        PublishError: the endpoint cannot be bound.
    """

    def __init__(
        self,
        endpoint: str,
        ops: Mapping[str, Op],
        *,
        keys: ServerKeys | None = None,
        allow_public: bool = False,
        context: Context | None = None,
    ) -> None:
        self._ops = dict(ops)
        self._context = zmq.Context() if context is None else context
        self._owns_context = context is None
        with contextlib.ExitStack() as undo:
            if self._owns_context:
                undo.callback(self._context.term)
            self._gate = undo.enter_context(Gate(self._context, keys, "control"))
            self._socket = open_socket(
                self._context,
                zmq.ROUTER,
                linger_ms=LINGER_MS,
                max_message_bytes=MAX_REQUEST_BYTES,
                queue_messages=QUEUE_MESSAGES,
            )
            undo.callback(self._socket.close)
            self._gate.protect(self._socket)
            self.endpoint = bind(self._socket, endpoint, allow_public=allow_public or self._gate.is_encrypted)
            """Actual address."""
            undo.pop_all()
        self._is_closing = threading.Event()
        self._wake_up = WakeUp()
        # From its start, the thread owns the socket.
        self._thread = SocketThread("streamseg control", self._serve, lambda: None)
        self._thread.start()

    def check(self) -> None:
        """Raise PublishError, with its cause, if a bug in an op has ended the channel."""
        self._thread.check()

    def close(self) -> None:
        """Finish the current request and release the socket; raise as `check` does. Idempotent."""
        if self._is_closing.is_set():
            return
        self._is_closing.set()
        self._wake_up.set()
        self._thread.join()
        self._wake_up.close()
        self._gate.close()
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
                        # A ROUTER never waits: it drops replies that exceed the client's queue.
                        self._socket.send_multipart([*envelope, handle_request(self._ops, body)])
        except zmq.ContextTerminated:
            return  # the owner of the context wants the socket closed
        finally:
            self._socket.close()


class ControlClient(Resource):
    """Sends requests to a `ControlServer`. Not thread-safe.

        with ControlClient("tcp://127.0.0.1:5556") as control:
            control.call("prompts.set", {"prompts": [{"id": "cup", "points": [[320, 240]]}]})

    Args:
        endpoint: address of the server.
        timeout_seconds: how long `call` waits for a reply.
        keys: the client's keys if the server has keys, see `ClientKeys.load`; None: no encryption.
        context: ZeroMQ context of the socket. By default the client creates one and terminates it.

    Raises:
        PublishError: the endpoint is invalid.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        timeout_seconds: float = 5.0,
        keys: ClientKeys | None = None,
        context: Context | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.timeout_seconds = timeout_seconds
        self._ids = itertools.count(1)
        self._context = zmq.Context() if context is None else context
        self._owns_context = context is None
        self._socket = open_socket(
            self._context,
            zmq.DEALER,
            linger_ms=0,
            max_message_bytes=MAX_REPLY_BYTES,
            queue_messages=QUEUE_MESSAGES,
        )
        # Without a server, do not queue a request: it must not run later, after the caller has given up.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        authenticate_client(self._socket, keys)
        self._handshakes = Handshakes(self._socket, endpoint, has_keys=keys is not None)
        try:
            connect(self._socket, endpoint)
        except BaseException:
            self._handshakes.close()
            if self._owns_context:
                self._context.term()
            raise

    def call(self, op: str, args: Mapping[str, Any] | None = None) -> Any:
        """Execute `op` on the server and return its result.

        Raises:
            DataError: the server replied with an error; the message is the server's.
            PublishError: no reply in time, or the server refused the connection.
            WireError: the args are too long or not JSON, or the reply is invalid.
        """
        request_id = next(self._ids)
        body = json_fields.dump_json({"id": request_id, "op": op, "args": dict(args or {})}, "request")
        if len(body) > MAX_REQUEST_BYTES:
            raise WireError(f"the request has {len(body)} bytes, at most {MAX_REQUEST_BYTES} are allowed")
        deadline = time.monotonic() + self.timeout_seconds
        self._handshakes.update(retry_now=True)
        if self._socket.poll(_milliseconds_until(deadline), zmq.POLLOUT):
            self._socket.send(body, zmq.DONTWAIT)
        while self._socket.poll(_milliseconds_until(deadline)):
            reply = json_fields.parse_json(self._socket.recv_multipart()[-1], "reply", MAX_REPLY_BYTES)
            if reply.get("id") == request_id:  # other ids belong to calls that timed out
                if reply.get("ok") is True:
                    return reply.get("result")
                raise DataError(f"{op}: {json_fields.text(reply, 'error')}")
        self._handshakes.update()
        if self._handshakes.refusal is not None:
            raise PublishError(f"{self.endpoint} refused the connection: {self._handshakes.refusal}")
        raise PublishError(
            f"no reply from {self.endpoint} within {self.timeout_seconds:g} s; check that streamseg is running there"
        )

    def close(self) -> None:
        """Release the socket. Idempotent."""
        self._handshakes.close()
        self._socket.close()
        if self._owns_context and not self._context.closed:
            self._context.term()
