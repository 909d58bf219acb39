"""Requests and replies, and requests from untrusted peers."""

import json
import threading

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import ConfigError, DataError, PublishError, WireError
from streamseg.publish import ControlClient, ControlServer
from streamseg.publish.control import handle_request
from tests.support.zeromq import WAIT_SECONDS, leak_checked_context, received_within

ANYWHERE = "tcp://127.0.0.1:0"


def _reject(args):
    raise DataError("no such\nprompt")


def _interrupt(args):
    raise KeyboardInterrupt


OPS = {
    "echo": lambda args: args,
    "add": lambda args: args["a"] + args["b"],
    "nothing": lambda args: None,
    "reject": _reject,
    "infinite": lambda args: float("inf"),
    "object": lambda args: object(),
}


@pytest.fixture
def context():
    with leak_checked_context() as context:
        yield context


@pytest.fixture
def server(context):
    with ControlServer(ANYWHERE, OPS, context=context) as server:
        yield server


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        ({"id": 1, "op": "echo", "args": {"x": [1, None]}}, {"id": 1, "ok": True, "result": {"x": [1, None]}}),
        ({"id": "a", "op": "echo"}, {"id": "a", "ok": True, "result": {}}),
        ({"id": 0, "op": "nothing", "more": 1}, {"id": 0, "ok": True, "result": None}),
        ({"id": 2, "op": "add", "args": {"a": 1, "b": 2}}, {"id": 2, "ok": True, "result": 3}),
        ({"id": 3, "op": "reject"}, {"id": 3, "ok": False, "error": "no such prompt"}),
        ({"id": 4, "op": "add", "args": {"a": 1}}, {"id": 4, "ok": False, "error": "KeyError: 'b'"}),
    ],
)
def test_requests_get_replies(request_body, expected):
    assert json.loads(handle_request(OPS, json.dumps(request_body).encode())) == expected


@pytest.mark.parametrize(
    ("body", "request_id", "error"),
    [
        pytest.param(b"", None, "not JSON", id="empty"),
        pytest.param(b"{", None, "not JSON", id="truncated object"),
        pytest.param(b"[" * 60_000, None, "not JSON", id="nested too deeply"),
        pytest.param(b'{"id": 1, "op": "echo", "args": {"a": NaN}}', None, "not JSON", id="NaN"),
        pytest.param(b" " * ((1 << 20) + 1), None, "at most 1048576", id="too long"),
        pytest.param(b"[]", None, "JSON object", id="list"),
        pytest.param(b'{"op": "echo"}', None, "'id'", id="no id"),
        pytest.param(b'{"id": 1.5, "op": "echo"}', None, "'id'", id="fractional id"),
        pytest.param(b'{"id": "\\ud800", "op": "echo"}', None, "surrogate", id="unpaired surrogate in id"),
        pytest.param(b'{"id": 1}', 1, "'op'", id="no op"),
        pytest.param(b'{"id": 1, "op": "shutdown"}', 1, "unknown op 'shutdown'; valid ops are add", id="unknown op"),
        pytest.param(b'{"id": 1, "op": "echo", "args": [1]}', 1, "'args'", id="args as list"),
        pytest.param(b'{"id": 1, "op": "add", "args": {"a": 1, "b": "x"}}', 1, "TypeError", id="args of wrong type"),
        pytest.param(b'{"id": 1, "op": "infinite"}', 1, "cannot be written", id="infinite result"),
        pytest.param(b'{"id": 1, "op": "object"}', 1, "cannot be written", id="result not JSON"),
    ],
)
def test_invalid_requests_get_error_replies(body, request_id, error):
    reply = json.loads(handle_request(OPS, body))
    assert (reply["id"], reply["ok"]) == (request_id, False)
    assert error in reply["error"]
    assert "\n" not in reply["error"]


@pytest.mark.slow
@given(st.binary(max_size=60))
def test_noise_gets_error_reply(body):
    assert json.loads(handle_request(OPS, body))["ok"] is False


def test_call_returns_result_or_raises(context, server):
    with ControlClient(server.endpoint, context=context) as client:
        assert client.call("add", {"a": 2, "b": 3}) == 5
        assert client.call("echo") == {}
        with pytest.raises(DataError, match="reject: no such prompt"):
            client.call("reject")
        with pytest.raises(DataError, match="unknown op 'stop'"):
            client.call("stop")
        assert client.call("nothing") is None


def test_clients_get_their_own_replies(context, server):
    with (
        ControlClient(server.endpoint, context=context) as one,
        ControlClient(server.endpoint, context=context) as other,
    ):
        assert (one.call("echo", {"who": 1}), other.call("echo", {"who": 2})) == ({"who": 1}, {"who": 2})


def test_req_socket_can_be_client(context, server):
    with context.socket(zmq.REQ) as client:
        client.connect(server.endpoint)
        client.send(b'{"id": 7, "op": "add", "args": {"a": 1, "b": 1}}')
        assert json.loads(received_within(client)[0]) == {"id": 7, "ok": True, "result": 2}


def test_untrusted_peers_are_harmless(context, server):
    with context.socket(zmq.DEALER) as peer, context.socket(zmq.DEALER) as flooder:
        peer.setsockopt(zmq.LINGER, 0)
        flooder.setsockopt(zmq.LINGER, 0)
        peer.connect(server.endpoint)
        peer.send_multipart([b"a", b"b", b"c", b'{"id": 1, "op": "echo"}'])  # no reply: the envelope is too long
        peer.send(b"\xff\xfe")
        assert json.loads(received_within(peer)[-1])["ok"] is False
        flooder.connect(server.endpoint)
        flooder.send(b"x" * 1_000_000)
        with ControlClient(server.endpoint, context=context) as client:
            assert client.call("add", {"a": 1, "b": 1}) == 2
    server.check()


def test_missing_reply_is_an_error_in_time(context):
    with ControlClient("tcp://127.0.0.1:1", timeout_seconds=0.05, context=context) as client:
        for _ in range(100):  # more than the queue holds
            client.timeout_seconds = 0.001
            with pytest.raises(PublishError, match=r"no reply from tcp://127\.0\.0\.1:1 within"):
                client.call("status")


def test_timed_out_request_is_not_executed_later(context):
    calls = []
    with ControlServer(ANYWHERE, {}) as server:
        endpoint = server.endpoint
    with ControlClient(endpoint, timeout_seconds=0.05, context=context) as client:
        with pytest.raises(PublishError, match="no reply"):
            client.call("note", {"nth": 1})
        client.timeout_seconds = WAIT_SECONDS
        with ControlServer(endpoint, {"note": calls.append}):
            client.call("note", {"nth": 2})
    assert calls == [{"nth": 2}]


@pytest.mark.slow
def test_late_reply_is_not_matched_to_next_call(context):
    is_called, gate = threading.Event(), threading.Event()

    def slow(args):
        is_called.set()
        assert gate.wait(WAIT_SECONDS)
        return "late"

    with (
        ControlServer(ANYWHERE, {"slow": slow, "quick": lambda args: "quick"}, context=context) as server,
        ControlClient(server.endpoint, timeout_seconds=0.2, context=context) as client,
    ):
        while not is_called.is_set():
            with pytest.raises(PublishError, match="no reply"):
                client.call("slow")
        gate.set()
        client.timeout_seconds = WAIT_SECONDS
        assert client.call("quick") == "quick"


@pytest.mark.parametrize("args", [{"text": "x" * (1 << 20)}, {"number": float("nan")}, {"thing": object()}])
def test_args_that_cannot_be_sent_are_rejected(context, server, args):
    with ControlClient(server.endpoint, context=context) as client, pytest.raises(WireError):
        client.call("echo", args)


@pytest.mark.slow
def test_bug_in_op_is_reported(context):
    server = ControlServer(ANYWHERE, {"interrupt": _interrupt}, context=context)
    with ControlClient(server.endpoint, timeout_seconds=0.2, context=context) as client:
        with pytest.raises(PublishError, match="no reply"):
            client.call("interrupt")
        with pytest.raises(PublishError, match="streamseg control has failed") as caught:
            server.close()
        assert isinstance(caught.value.__cause__, KeyboardInterrupt)
        with pytest.raises(PublishError):
            server.check()


def test_op_may_raise_any_streamseg_error(context):
    def reject(args):
        raise ConfigError("out of range")

    with (
        ControlServer(ANYWHERE, {"set": reject}, context=context) as server,
        ControlClient(server.endpoint, context=context) as client,
        pytest.raises(DataError, match="set: out of range"),
    ):
        client.call("set")


def test_port_in_use_and_public_endpoint_are_rejected(context, server):
    with pytest.raises(PublishError, match="in use"):
        ControlServer(server.endpoint, OPS, context=context)
    with pytest.raises(PublishError, match="in use"):
        ControlServer(server.endpoint, OPS)
    with pytest.raises(PublishError, match="allow_public"):
        ControlServer("tcp://0.0.0.0:0", OPS, context=context)
    with pytest.raises(PublishError, match="invalid endpoint"):
        ControlClient("5556", context=context)
    with pytest.raises(PublishError, match="invalid endpoint"):
        ControlClient("5556")


def test_closing_is_idempotent():
    server = ControlServer(ANYWHERE, OPS)
    client = ControlClient(server.endpoint)
    for closable in (client, client, server, server):
        closable.close()


def test_terminating_context_ends_server():
    with leak_checked_context() as context:
        server = ControlServer(ANYWHERE, OPS, context=context)
    server.close()
