"""Encrypted endpoints: which key opens which socket. Everything over real sockets."""

import contextlib
import time
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from streamseg.errors import PublishError
from streamseg.publish import ClientKeys, ControlClient, ControlServer, Publisher, ServerKeys, Subscriber
from streamseg.publish.authentication import MAX_LOGGED_KEYS, _Allowed
from streamseg.publish.keys import create_key_files
from tests.support.loopback import LoopbackServer
from tests.support.messages import disc, make_message, make_object
from tests.support.zeromq import WAIT_SECONDS, leak_checked_context

ANYWHERE = "tcp://127.0.0.1:0"
MESSAGE = make_message(make_object(disc(9), 3, 2, label="cup"))
REFUSED_SECONDS = 1.5
"""Time in which a refused client receives nothing; an admitted one is served within a few milliseconds."""


class KeyRing:
    """A server that admits `reader` and `controller`, and knows nothing of `stranger`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("server", "other", "reader", "controller", "stranger"):
            create_key_files(folder, name)
        self.server = ServerKeys.load(
            folder / "server.key_secret", read=[self._public("reader")], control=[self._public("controller")]
        )

    def _public(self, name: str) -> str:
        return str(self._folder / f"{name}.key")

    def client(self, name: str, server: str = "server") -> ClientKeys | None:
        """The keys of a client; None for a client without keys."""
        return None if name == "plain" else ClientKeys.load(self._folder / f"{name}.key_secret", self._public(server))


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return KeyRing(tmp_path_factory.mktemp("keys"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "server", "reads", "controls", "refusal"),
    [
        pytest.param("reader", "server", True, False, "it does not admit this key", id="read"),
        pytest.param("controller", "server", True, True, "", id="control"),
        pytest.param("stranger", "server", False, False, "it does not admit this key", id="unknown key"),
        pytest.param("plain", "server", False, False, "it admits only clients with a key", id="no key"),
        pytest.param(
            "controller", "other", False, False, "it has another key than the given one", id="wrong server key"
        ),
    ],
)
def test_roles(ring: KeyRing, name: str, server: str, reads: bool, controls: bool, refusal: str):
    keys = ring.client(name, server)
    with (
        Publisher(ANYWHERE, keys=ring.server) as publisher,
        ControlServer(ANYWHERE, {"echo": lambda args: args}, keys=ring.server) as channel,
    ):
        with Subscriber(publisher.endpoint, keys=keys) as subscriber:
            assert subscriber.wait_connected(WAIT_SECONDS if reads else REFUSED_SECONDS) is reads
            if reads:
                publisher.publish(MESSAGE)
                received = subscriber.receive(WAIT_SECONDS)
                assert received is not None
                assert [found.label for found in received.objects] == ["cup"]
            else:
                assert refusal in (subscriber.refusal or "")
        seconds = WAIT_SECONDS if controls else REFUSED_SECONDS
        with ControlClient(channel.endpoint, keys=keys, timeout_seconds=seconds) as client:
            if controls:
                assert client.call("echo", {"x": 1}) == {"x": 1}
            else:
                with pytest.raises(PublishError, match=f"refused the connection: .*{refusal}"):
                    client.call("echo")


def test_connection_that_is_closed_during_the_handshake_has_a_reason():
    """The reason of a server with keys may be lost: its end of the connection closes first."""
    with (
        LoopbackServer(lambda connection: connection.recv(10)) as server,
        Subscriber(f"tcp://127.0.0.1:{server.port}") as subscriber,
    ):
        deadline = time.monotonic() + WAIT_SECONDS
        while subscriber.refusal is None and time.monotonic() < deadline:
            assert not subscriber.wait_connected(0.05)
        assert "it closed the connection; probably it admits only clients with a key" in (subscriber.refusal or "")


@pytest.mark.parametrize("reader", ["reader", "controller"])
def test_single_part_messages_are_encrypted_too(ring: KeyRing, reader: str):
    with Publisher(ANYWHERE, single_endpoint=ANYWHERE, keys=ring.server) as publisher:
        assert publisher.single_endpoint is not None
        keys = ring.client(reader)
        assert keys is not None
        with leak_checked_context() as context, context.socket(zmq.SUB) as socket:
            socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
            socket.setsockopt(zmq.CURVE_SERVERKEY, keys.server)
            socket.subscribe(b"status/")
            socket.connect(publisher.single_endpoint)
            assert socket.poll(int(WAIT_SECONDS * 1000))
            assert socket.recv().startswith(b"status/1/")


@pytest.mark.slow
def test_key_client_cannot_join_a_plain_server(ring: KeyRing):
    with Publisher(ANYWHERE) as publisher, Subscriber(publisher.endpoint, keys=ring.client("reader")) as subscriber:
        assert not subscriber.wait_connected(REFUSED_SECONDS)
        assert "it has another key than the given one, or none" in (subscriber.refusal or "")


@pytest.mark.slow
def test_refused_clients_return_when_their_key_is_allowed(ring: KeyRing):
    stranger = ring.client("stranger")
    assert stranger is not None
    admitting = replace(ring.server, control=ring.server.control | {stranger.public})
    with ControlServer(ANYWHERE, {}, keys=ring.server) as first_control, Publisher(ANYWHERE, keys=ring.server) as first:
        subscriber = Subscriber(first.endpoint, keys=stranger)
        client = ControlClient(first_control.endpoint, keys=stranger, timeout_seconds=REFUSED_SECONDS)
        assert not subscriber.wait_connected(REFUSED_SECONDS)
        with pytest.raises(PublishError, match="does not admit this key"):
            client.call("echo")
    with (
        subscriber,
        client,
        Publisher(first.endpoint, keys=admitting),
        ControlServer(first_control.endpoint, {"echo": lambda args: args}, keys=admitting),
    ):
        assert subscriber.wait_connected(WAIT_SECONDS)
        assert subscriber.refusal is None
        client.timeout_seconds = WAIT_SECONDS
        assert client.call("echo") == {}


@pytest.mark.slow
def test_strangers_do_not_disturb_others(ring: KeyRing):
    """Twenty refused clients that try again and again, and one that is admitted and misses nothing."""
    with contextlib.ExitStack() as stack:
        publisher = stack.enter_context(Publisher(ANYWHERE, keys=ring.server))
        for number in range(20):
            keys = ring.client("stranger" if number % 2 else "plain")
            stack.enter_context(Subscriber(publisher.endpoint, keys=keys))
        reader = stack.enter_context(Subscriber(publisher.endpoint, keys=ring.client("reader")))
        assert reader.wait_connected(WAIT_SECONDS)
        for number in range(50):
            publisher.publish(replace(MESSAGE, frame_index=number))
            received = reader.receive(WAIT_SECONDS)
            assert received is not None
            assert received.frame_index == number
        assert reader.gaps == {MESSAGE.source_id: 0}


@pytest.mark.parametrize("kind", ["publisher", "control"])
def test_keys_permit_public_endpoints(ring: KeyRing, kind: str):
    def open_server(keys: ServerKeys | None) -> Publisher | ControlServer:
        if kind == "publisher":
            return Publisher("tcp://0.0.0.0:0", keys=keys)
        return ControlServer("tcp://0.0.0.0:0", {}, keys=keys)

    with pytest.raises(PublishError, match=r"without encryption; set up keys \(streamseg keys new, publish.curve\)"):
        open_server(None)
    with open_server(ring.server) as server:
        assert server.endpoint.startswith("tcp://0.0.0.0:")


def test_everything_is_released_if_an_endpoint_cannot_be_bound(ring: KeyRing):
    with leak_checked_context() as context, pytest.raises(PublishError, match="invalid endpoint"):
        Publisher("nowhere", keys=ring.server, context=context)
    with leak_checked_context() as context, pytest.raises(PublishError, match="invalid endpoint"):
        ControlServer("nowhere", {}, keys=ring.server, context=context)


def test_two_servers_with_keys_need_two_contexts(ring: KeyRing):
    with (
        leak_checked_context() as context,
        Publisher(ANYWHERE, keys=ring.server, context=context),
        pytest.raises(PublishError, match="only one server with keys is possible per context"),
    ):
        ControlServer(ANYWHERE, {}, keys=ring.server, context=context)


def test_refused_keys_are_logged_once(caplog: pytest.LogCaptureFixture):
    known = b"k" * 40
    allowed = _Allowed(frozenset({known}), "read")
    strangers = [f"{number:040d}".encode() for number in range(MAX_LOGGED_KEYS + 10)]
    assert allowed.callback("streamseg.read", known)
    for key in [*strangers, *strangers]:
        assert not allowed.callback("streamseg.read", key)
    assert len(caplog.records) == MAX_LOGGED_KEYS
    assert strangers[0].decode() in caplog.text
