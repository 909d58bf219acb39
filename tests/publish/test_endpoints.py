"""Endpoints that may be bound or connected."""

import socket as sockets

import pytest
import zmq

from streamseg.errors import PublishError
from streamseg.publish.endpoints import bind, connect, open_socket
from streamseg.redaction import redact_text
from tests.support.zeromq import leak_checked_context


@pytest.fixture
def context():
    with leak_checked_context() as context:
        yield context


def _open(context, kind=zmq.XPUB):
    return open_socket(context, kind, linger_ms=0, max_message_bytes=1000, queue_messages=4)


def test_port_0_becomes_actual_port(context):
    with _open(context) as socket:
        endpoint = bind(socket, "tcp://127.0.0.1:0", allow_public=False)
        assert endpoint.startswith("tcp://127.0.0.1:")
        assert int(endpoint.rsplit(":", 1)[1]) > 0


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3"])
def test_loopback_may_be_bound(context, host):
    with _open(context) as socket:
        bind(socket, f"tcp://{host}:0", allow_public=False)


@pytest.mark.parametrize(
    "endpoint", ["tcp://*:0", "tcp://0.0.0.0:0", "tcp://eth0:0", "tcp://192.0.2.1:0", "tcp://[::]:0"]
)
def test_public_endpoints_require_permission(context, endpoint):
    with pytest.raises(PublishError, match="allow_public") as caught:
        bind(_open(context), endpoint, allow_public=False)
    assert "\n" not in str(caught.value)


def test_permitted_public_endpoint_is_bound(context):
    with _open(context) as socket:
        assert bind(socket, "tcp://0.0.0.0:0", allow_public=True).startswith("tcp://0.0.0.0:")


@pytest.mark.parametrize(
    "endpoint",
    [
        "", "5555", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://127.0.0.1:99999", "tcp://127.0.0.1:-1",
        "tcp://127.0.0.1:http", "http://127.0.0.1:80", "udp://127.0.0.1:5555", "ipc://", "inproc://", "tcp://::1:5555",
        "tcp://127.0.0.1:5555 ", "tcp://127.0.0.1:5555\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("action", ["bind", "connect"])
def test_invalid_endpoint_is_rejected(context, action, endpoint):
    socket = _open(context)
    with pytest.raises(PublishError, match=r"; use tcp://127\.0\.0\.1:5555, ipc:///tmp/NAME or inproc") as caught:
        bind(socket, endpoint, allow_public=True) if action == "bind" else connect(socket, endpoint)
    assert "\n" not in str(caught.value)
    assert "or inproc://NAME with a port" in redact_text(str(caught.value)), "the log shows the allowed forms"
    assert socket.closed


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:0", "tcp://127.0.0.1:*"])
def test_connecting_requires_port(context, endpoint):
    with pytest.raises(PublishError, match="the port that the publisher printed"):
        connect(_open(context), endpoint)


def test_port_in_use_is_one_line_error(context):
    with sockets.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(PublishError, match="is in use; choose another port, or 0") as caught:
            bind(_open(context), endpoint, allow_public=False)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(sockets, "AF_UNIX"), reason="this system has no Unix sockets")
def test_ipc_path_in_use_is_not_taken_over(context, tmp_path):
    endpoint = f"ipc://{tmp_path}/s"
    with _open(context) as socket:
        assert bind(socket, endpoint, allow_public=False) == endpoint
        with pytest.raises(PublishError, match="in use; choose another path"):
            bind(_open(context), endpoint, allow_public=False)
    (tmp_path / "left_over").touch()
    with _open(context) as socket:
        bind(socket, f"ipc://{tmp_path}/left_over", allow_public=False)


@pytest.mark.parametrize(
    "endpoint", ["ipc:///nowhere/at/all/s", f"ipc:///tmp/{'x' * 200}", "tcp://no-such-host.invalid:0"]
)
def test_failure_to_bind_is_one_line_error(context, endpoint):
    with pytest.raises(PublishError, match="cannot bind") as caught:
        bind(_open(context), endpoint, allow_public=True)
    assert "\n" not in str(caught.value)


def test_defaults_unsuitable_for_live_video_are_replaced(context):
    with _open(context) as socket:
        assert (socket.linger, socket.sndhwm, socket.rcvhwm, socket.maxmsgsize) == (0, 4, 4, 1000)
        assert (socket.heartbeat_ivl, socket.heartbeat_timeout) == (2000, 6000)
