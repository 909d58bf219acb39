"""Requests and answers, and requests from strangers."""

import json
import threading

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import ConfigError, DataError, PublishError, WireError
from streamseg.publish import ControlClient, ControlServer
from streamseg.publish.control import answer
from tests.support.zeromq import WAIT_SECONDS, leak_checked_context, received_within

ANYWHERE = "tcp://127.0.0.1:0"


def _refuse(args):
    raise DataError("no such\nprompt")


def _interrupt(args):
    raise KeyboardInterrupt


OPS = {
    "echo": lambda args: args,
    "add": lambda args: args["a"] + args["b"],
    "nothing": lambda args: None,
    "refuse": _refuse,
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
        ({"id": 3, "op": "refuse"}, {"id": 3, "ok": False, "error": "no such prompt"}),
        ({"id": 4, "op": "add", "args": {"a": 1}}, {"id": 4, "ok": False, "error": "KeyError: 'b'"}),
    ],
)
def test_answers(request_body, expected):
    assert json.loads(answer(OPS, json.dumps(request_body).encode())) == expected


@pytest.mark.parametrize(
    ("body", "request_id", "complaint"),
    [
        pytest.param(b"", None, "not JSON", id="nothing"),
        pytest.param(b"{", None, "not JSON", id="half an object"),
        pytest.param(b"[" * 60_000, None, "not JSON", id="nested too deep"),
        pytest.param(b'{"id": 1, "op": "echo", "args": {"a": NaN}}', None, "not JSON", id="not a number"),
        pytest.param(b" " * ((1 << 20) + 1), None, "at most 1048576", id="too long"),
        pytest.param(b"[]", None, "JSON object", id="a list"),
        pytest.param(b'{"op": "echo"}', None, "'id'", id="no id"),
        pytest.param(b'{"id": 1.5, "op": "echo"}', None, "'id'", id="an id that is no integer"),
        pytest.param(b'{"id": "\\ud800", "op": "echo"}', None, "surrogate", id="an id that is no text"),
        pytest.param(b'{"id": 1}', 1, "'op'", id="no op"),
        pytest.param(b'{"id": 1, "op": "shutdown"}', 1, "unknown op 'shutdown'; add, echo", id="an unknown op"),
        pytest.param(b'{"id": 1, "op": "echo", "args": [1]}', 1, "'args'", id="args that are a list"),
        pytest.param(b'{"id": 1, "op": "add", "args": {"a": 1, "b": "x"}}', 1, "TypeError", id="args of another type"),
        pytest.param(b'{"id": 1, "op": "infinite"}', 1, "cannot be written", id="an infinite result"),
        pytest.param(b'{"id": 1, "op": "object"}', 1, "cannot be written", id="a result that is no JSON"),
    ],
)
def test_bad_requests_are_answered(body, request_id, complaint):
    reply = json.loads(answer(OPS, body))
    assert (reply["id"], reply["ok"]) == (request_id, False)
    assert complaint in reply["error"]
    assert "\n" not in reply["error"]


@given(st.binary(max_size=60))
def test_noise_is_answered(body):
    assert json.loads(answer(OPS, body))["ok"] is False


def test_calls(context, server):
    with ControlClient(server.endpoint, context=context) as client:
        assert client.call("add", {"a": 2, "b": 3}) == 5
        assert client.call("echo") == {}
        with pytest.raises(DataError, match="refuse: no such prompt"):
            client.call("refuse")
        with pytest.raises(DataError, match="unknown op 'stop'"):
            client.call("stop")
        assert client.call("nothing") is None


def test_several_clients_get_their_own_answers(context, server):
    with (
        ControlClient(server.endpoint, context=context) as one,
        ControlClient(server.endpoint, context=context) as other,
    ):
        assert (one.call("echo", {"who": 1}), other.call("echo", {"who": 2})) == ({"who": 1}, {"who": 2})


def test_a_req_socket_is_a_client(context, server):
    with context.socket(zmq.REQ) as client:
        client.connect(server.endpoint)
        client.send(b'{"id": 7, "op": "add", "args": {"a": 1, "b": 1}}')
        assert json.loads(received_within(client)[0]) == {"id": 7, "ok": True, "result": 2}


def test_strangers_do_no_harm(context, server):
    with context.socket(zmq.DEALER) as stranger, context.socket(zmq.DEALER) as flooder:
        stranger.setsockopt(zmq.LINGER, 0)
        flooder.setsockopt(zmq.LINGER, 0)
        stranger.connect(server.endpoint)
        stranger.send_multipart([b"a", b"b", b"c", b'{"id": 1, "op": "echo"}'])  # not answered: nobody's envelope
        stranger.send(b"\xff\xfe")
        assert json.loads(received_within(stranger)[-1])["ok"] is False
        flooder.connect(server.endpoint)
        flooder.send(b"x" * 1_000_000)
        with ControlClient(server.endpoint, context=context) as client:
            assert client.call("add", {"a": 1, "b": 1}) == 2
    server.check()


def test_no_answer_is_an_error_in_time(context):
    with ControlClient("tcp://127.0.0.1:1", timeout_seconds=0.05, context=context) as client:
        for _ in range(100):  # more than the queue would hold
            client.timeout_seconds = 0.001
            with pytest.raises(PublishError, match=r"no answer from tcp://127\.0\.0\.1:1 within"):
                client.call("status")


def test_a_request_that_was_given_up_is_not_carried_out_later(context):
    asked = []
    with ControlServer(ANYWHERE, {}) as server:
        endpoint = server.endpoint
    with ControlClient(endpoint, timeout_seconds=0.05, context=context) as client:
        with pytest.raises(PublishError, match="no answer"):
            client.call("note", {"nth": 1})
        client.timeout_seconds = WAIT_SECONDS
        with ControlServer(endpoint, {"note": asked.append}):
            client.call("note", {"nth": 2})
    assert asked == [{"nth": 2}]


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(context):
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
            with pytest.raises(PublishError, match="no answer"):
                client.call("slow")
        gate.set()
        client.timeout_seconds = WAIT_SECONDS
        assert client.call("quick") == "quick"


@pytest.mark.parametrize("args", [{"text": "x" * (1 << 20)}, {"number": float("nan")}, {"thing": object()}])
def test_args_that_cannot_be_sent_are_refused(context, server, args):
    with ControlClient(server.endpoint, context=context) as client, pytest.raises(WireError):
        client.call("echo", args)


def test_a_mistake_in_an_op_is_not_lost(context):
    server = ControlServer(ANYWHERE, {"interrupt": _interrupt}, context=context)
    with ControlClient(server.endpoint, timeout_seconds=0.2, context=context) as client:
        with pytest.raises(PublishError, match="no answer"):
            client.call("interrupt")
        with pytest.raises(PublishError, match="streamseg control has failed") as caught:
            server.close()
        assert isinstance(caught.value.__cause__, KeyboardInterrupt)
        with pytest.raises(PublishError):
            server.check()


def test_an_op_may_refuse_with_any_error_of_ours(context):
    def refuse(args):
        raise ConfigError("out of range")

    with (
        ControlServer(ANYWHERE, {"set": refuse}, context=context) as server,
        ControlClient(server.endpoint, context=context) as client,
        pytest.raises(DataError, match="set: out of range"),
    ):
        client.call("set")


def test_a_port_in_use_and_a_public_endpoint_are_refused(context, server):
    with pytest.raises(PublishError, match="in use"):
        ControlServer(server.endpoint, OPS, context=context)
    with pytest.raises(PublishError, match="in use"):
        ControlServer(server.endpoint, OPS)
    with pytest.raises(PublishError, match="allow_public"):
        ControlServer("tcp://0.0.0.0:0", OPS, context=context)
    with pytest.raises(PublishError, match="no endpoint"):
        ControlClient("5556", context=context)
    with pytest.raises(PublishError, match="no endpoint"):
        ControlClient("5556")


def test_closing_twice_is_closing_once():
    server = ControlServer(ANYWHERE, OPS)
    client = ControlClient(server.endpoint)
    for closable in (client, client, server, server):
        closable.close()


def test_ending_the_context_ends_the_server():
    with leak_checked_context() as context:
        server = ControlServer(ANYWHERE, OPS, context=context)
    server.close()
