"""The server for Foxglove, with a real WebSocket client that speaks its protocol."""

import json
import struct
import threading

import numpy as np
import pytest

from streamseg.errors import ConfigError, PublishError
from streamseg.publish.jpeg import SharedJpeg
from tests.support.stages import make_result

pytest.importorskip("foxglove", reason="needs the extra foxglove")
pytest.importorskip("rosbags", reason="needs the extra foxglove")
pytest.importorskip("websockets", reason="needs websockets")

from mcap_ros2._dynamic import generate_dynamic
from websockets.sync import client

from streamseg.bridges.foxglove import FoxgloveServer

SECONDS = 20.0


@pytest.fixture
def server():
    with FoxgloveServer("127.0.0.1:0", SharedJpeg(80)) as opened:
        yield opened


def connect(server: FoxgloveServer):
    return client.connect(server.url, subprotocols=["foxglove.sdk.v1"], max_size=None)


def advertised(socket) -> dict[str, dict]:
    """The channels that the server announces next, by topic."""
    while True:
        text = socket.recv(SECONDS)
        if isinstance(text, str) and (message := json.loads(text))["op"] == "advertise":
            return {channel["topic"]: channel for channel in message["channels"]}


def next_message(socket) -> tuple[int, int, bytes]:
    """Subscription, log time and data of the next message."""
    while True:
        data = socket.recv(SECONDS)
        if isinstance(data, bytes) and data[0] == 1:
            return *struct.unpack_from("<IQ", data, 1), data[13:]


def write_until(server: FoxgloveServer, received: threading.Event) -> threading.Thread:
    """Write frames until the client has what it wants; a subscription takes effect some time after it was sent."""

    def write() -> None:
        for index in range(2000):
            server.write(make_result(index))
            if received.wait(0.01):
                return

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@pytest.mark.slow
def test_a_client_decodes_what_it_subscribes_to(server):
    server.write(make_result())
    with connect(server) as socket:
        channels = advertised(socket)
        assert set(channels) == {
            f"/streamseg/cam/{name}"
            for name in ("image/compressed", "instances", "label_info", "detections", "prompts", "annotations")
        }
        wanted = {1: "/streamseg/cam/instances", 2: "/streamseg/cam/label_info"}
        subscriptions = [{"id": number, "channelId": channels[topic]["id"]} for number, topic in wanted.items()]
        socket.send(json.dumps({"op": "subscribe", "subscriptions": subscriptions}))
        done = threading.Event()
        thread = write_until(server, done)
        found = {}
        try:
            while len(found) < 2:
                number, log_ns, data = next_message(socket)
                found[number] = (log_ns, data)
        finally:
            done.set()
            thread.join()
        decoded = {}
        for number, (_, data) in found.items():
            channel = channels[wanted[number]]
            assert (channel["encoding"], channel["schemaEncoding"]) == ("cdr", "ros2msg")
            types = generate_dynamic(channel["schemaName"], channel["schema"])
            decoded[number] = types[channel["schemaName"]](data)
        image = decoded[1]
        assert found[1][0] == image.header.stamp.sec * 10**9 + image.header.stamp.nanosec
        pixels = np.frombuffer(bytes(image.data), "<u2").reshape(image.height, image.width)
        assert set(np.unique(pixels)) == {0, 1}
        assert [one.class_id for one in decoded[2].class_map] == [1]


def test_nothing_is_built_without_a_client():
    def encode(image):
        raise AssertionError("the image is encoded for nobody")

    with FoxgloveServer("127.0.0.1:0", encode) as server:
        server.write(make_result())


@pytest.mark.parametrize(
    ("endpoint", "error", "words"),
    [
        ("0.0.0.0:0", PublishError, "can be reached from other machines"),
        ("8765", ConfigError, "is not HOST:PORT"),
    ],
)
def test_endpoints_that_are_refused(endpoint, error, words):
    with pytest.raises(error, match=words):
        FoxgloveServer(endpoint, SharedJpeg(80))


def test_a_port_in_use_is_one_line(server):
    endpoint = server.url.removeprefix("ws://")
    with pytest.raises(PublishError, match=f"cannot serve Foxglove at {endpoint}") as caught:
        FoxgloveServer(endpoint, SharedJpeg(80))
    assert "\n" not in str(caught.value)


def test_closing_twice(server):
    server.close()
    server.close()
