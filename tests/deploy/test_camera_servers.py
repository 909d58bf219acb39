"""streamseg beside go2rtc and Frigate: names of streams, and topics at one broker."""

from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from streamseg.capture import open_source
from streamseg.config import Config, StreamSource, load_config
from streamseg.structures.source_status import SourceStatus
from tests.support.mqtt_broker import MOSQUITTO, Broker, collected
from tests.support.paths import REPOSITORY
from tests.support.rtsp_server import RtspServer, why_no_server
from tests.support.waiting import wait_until

DEPLOY = REPOSITORY / "deploy"
FRIGATE_TOPICS = {
    "frigate/available": "online",
    "frigate/door/status/detect": "online",
    "frigate/door/detect/state": "ON",
    "frigate/door/person": "1",
    "frigate/door/parcel": "0",
    "frigate/door/person/presence": "1",
    "frigate/events": '{"type": "new"}',
}
"""Topics as Frigate documents them, and one that ends like streamseg's."""


def read(*names: str) -> dict:
    return yaml.safe_load(DEPLOY.joinpath(*names).read_text(encoding="utf-8"))


def stream_url(config: Config) -> str:
    [source] = config.named_sources()
    assert isinstance(source, StreamSource)
    return source.url


def test_container_reads_a_stream_that_go2rtc_serves():
    served = read("go2rtc.yaml")
    [default] = [
        line.partition(":-")[2].rstrip("}\n")
        for line in (DEPLOY / "compose.yaml").read_text().splitlines()
        if "CAMERA_URL: ${" in line
    ]
    url = urlsplit(default)
    assert url.path.removeprefix("/") in served["streams"]
    assert f":{url.port}" == served["rtsp"]["listen"]


def test_frigate_and_streamseg_read_the_same_stream(monkeypatch):
    monkeypatch.delenv("GO2RTC", raising=False)
    frigate = read("frigate", "config.yml")
    url = urlsplit(stream_url(load_config(DEPLOY / "frigate" / "streamseg.yaml")))
    name = url.path.removeprefix("/")
    assert name in frigate["go2rtc"]["streams"]
    [own_input] = frigate["cameras"][name]["ffmpeg"]["inputs"]
    own = urlsplit(own_input["path"])
    assert (own.port, own.path) == (url.port, url.path)


def test_both_use_one_broker_and_different_topics(monkeypatch):
    monkeypatch.delenv("MQTT_BROKER", raising=False)
    frigate = read("frigate", "config.yml")["mqtt"]
    own = load_config(DEPLOY / "frigate" / "streamseg.yaml").mqtt
    assert own.address == f"mqtt://{frigate['host']}:1883"
    assert own.topic != frigate["topic_prefix"]


@pytest.mark.slow
@pytest.mark.skipif(why_no_server() is not None, reason=str(why_no_server()))
def test_the_configured_stream_is_read_from_a_server_in_place_of_go2rtc(monkeypatch):
    with RtspServer() as server:
        monkeypatch.setenv("GO2RTC", f"127.0.0.1:{server.port}")
        [section] = load_config(DEPLOY / "frigate" / "streamseg.yaml").named_sources()
        source = open_source(section)
        with contextlib.closing(source.frames()) as frames:  # type: ignore[type-var]
            found = [next(frames) for _ in range(2)]
        source.stop()
    assert [(frame.source_id, frame.size) for frame in found] == [("door", (120, 160))] * 2


@pytest.mark.skipif(MOSQUITTO is None, reason="needs mosquitto (apt install mosquitto)")
def test_topics_of_frigate_are_untouched_at_a_common_broker(tmp_path: Path, monkeypatch):
    paho = pytest.importorskip("paho.mqtt.client", reason="needs the extra mqtt")
    from streamseg.runtime.mqtt_sink import MqttSink
    from tests.support.stages import make_result

    broker = Broker(tmp_path)
    broker.start()
    frigate = paho.Client(paho.CallbackAPIVersion.VERSION2)
    try:
        frigate.connect("127.0.0.1", broker.port)
        frigate.loop_start()
        for topic, payload in FRIGATE_TOPICS.items():
            frigate.publish(topic, payload, qos=1, retain=True)
        monkeypatch.setenv("MQTT_BROKER", f"127.0.0.1:{broker.port}")
        config = load_config(DEPLOY / "frigate" / "streamseg.yaml").mqtt
        with collected(broker.port) as topics:
            wait_until(lambda: topics.keys() >= FRIGATE_TOPICS.keys())
            with contextlib.closing(MqttSink(config)) as sink:
                sink.report_sources(lambda: {"door": SourceStatus("live")})
                sink.write(make_result(source_id="door"))
                wait_until(lambda: topics.get("streamseg/door/status") == "live")
                # The clean-up deletes topics of streamseg only.
                sink.remove_source("door")
                wait_until(lambda: "streamseg/door/status" not in topics)
            assert {topic: text for topic, text in topics.items() if topic.startswith("frigate/")} == FRIGATE_TOPICS
    finally:
        frigate.disconnect()
        broker.kill()
