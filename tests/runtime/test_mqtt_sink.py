"""The MQTT sink, with a real broker."""

import contextlib
import json
from dataclasses import replace

import pytest

pytest.importorskip("paho", reason="needs the extra mqtt")

from streamseg.config import Config
from streamseg.config.mqtt import MqttConfig
from streamseg.errors import ConfigError, PublishError
from streamseg.mqtt.payloads import Topics
from streamseg.pipeline import FrameResult
from streamseg.runtime.mqtt_sink import MqttSink
from streamseg.structures.message import PromptStatus
from streamseg.structures.source_status import SourceStatus
from streamseg.structures.zone import ZoneStatus
from tests.support.mqtt_broker import MOSQUITTO, Broker, collected
from tests.support.stages import make_result
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="needs mosquitto (apt install mosquitto)")

TOPICS = Topics("streamseg")
CUP = TOPICS.presence("cam", "cup")


@pytest.fixture
def broker(tmp_path):
    one = Broker(tmp_path)
    one.start()
    yield one
    one.kill()


def settings(broker: Broker, **keys: object) -> MqttConfig:
    return MqttConfig(address=f"mqtt://127.0.0.1:{broker.port}", lost_after_s=0.0, **keys)


def result(state: str | None, index: int = 0) -> FrameResult:
    """A frame whose object is the one of the prompt `cup` if it is bound; None: no prompt."""
    one = make_result(index)
    prompts = () if state is None else (PromptStatus("cup", state, 0.9, track_id=1),)
    [found] = one.message.objects
    ids = ("everything", "cup") if state == "bound" else ("everything",)
    message = replace(one.message, prompts=prompts, objects=(replace(found, prompt_ids=ids),))
    return replace(one, message=message)


def refusal(sink: MqttSink) -> str:
    """Why a sink without a connection refuses a frame."""
    with pytest.raises(PublishError) as error:
        sink.write(result("bound"))
    return str(error.value)


def presence(topics: dict[str, str]) -> str | None:
    return json.loads(topics[CUP])["presence"] if CUP in topics else None


def test_states_are_retained_with_discovery_and_end_with_the_run(broker):
    with collected(broker.port) as topics, contextlib.closing(MqttSink(settings(broker))) as sink:
        sink.report_sources(lambda: {"cam": SourceStatus("live")})
        sink.write(result("bound"))
        wait_until(lambda: presence(topics) == "seen")
        assert topics[TOPICS.status] == "online"
        assert topics[TOPICS.source_status("cam")] == "live"
        entities = [json.loads(topics[topic]) for topic in topics if topic.startswith("homeassistant/")]
        assert {one["state_topic"] for one in entities} == {CUP, TOPICS.source_status("cam")}
        sink.write(result("lost", 1))
        wait_until(lambda: presence(topics) == "lost")
        sink.write(result("bound", 2))
        wait_until(lambda: presence(topics) == "back")
        sink.close()
        sink.close()
        wait_until(lambda: topics[TOPICS.status] == "offline")


def test_a_killed_run_is_reported_as_offline_by_the_broker(broker):
    with collected(broker.port) as topics:
        sink = MqttSink(settings(broker, discovery=None))
        wait_until(lambda: topics.get(TOPICS.status) == "online")
        # As a process that is killed: the connection breaks without a farewell.
        sink._connection._client.socket().close()
        wait_until(lambda: topics[TOPICS.status] == "offline")
        sink.close()
        assert not any(topic.startswith("homeassistant") for topic in topics)


def test_prompts_that_are_no_longer_in_force_are_deleted_also_of_an_earlier_run(broker):
    with collected(broker.port) as topics, contextlib.closing(MqttSink(settings(broker))) as sink:
        sink.write(result("bound"))
        wait_until(lambda: presence(topics) == "seen")
        sink.close()
        entities = {topic for topic in topics if topic.startswith("homeassistant/")}
        with contextlib.closing(MqttSink(settings(broker))) as later:
            later.write(result(None))
            wait_until(lambda: CUP not in topics)
            assert not entities & topics.keys()


def test_a_removed_source_takes_its_prompts_along(broker):
    with collected(broker.port) as topics, contextlib.closing(MqttSink(settings(broker))) as sink:
        statuses = {"cam": SourceStatus("live"), "other": SourceStatus("waiting")}
        sink.report_sources(lambda: dict(statuses))
        sink.write(result("bound"))
        wait_until(lambda: presence(topics) == "seen")
        del statuses["cam"]
        sink.remove_source("cam")
        wait_until(lambda: CUP not in topics)
        assert topics[TOPICS.source_status("other")] == "waiting"


def with_zones(*names: str) -> FrameResult:
    one = result("bound")
    return replace(one, message=replace(one.message, zones=tuple(ZoneStatus(name) for name in names)))


def test_lines_have_no_sensor_of_objects_inside_also_not_that_of_an_earlier_run(broker):
    def names(topics):
        found = [json.loads(text) for topic, text in topics.items() if topic.startswith("homeassistant/")]
        return {one["name"] for one in found if one["name"].startswith(("door ", "gate "))}

    zones = {"door objects", "door entered", "door left"}
    with collected(broker.port) as topics, contextlib.closing(MqttSink(settings(broker))) as earlier:
        earlier.write(with_zones("door", "gate"))
        wait_until(lambda: names(topics) == {*zones, "gate objects", "gate entered", "gate left"})
        earlier.close()
        with contextlib.closing(MqttSink(settings(broker), lines=["gate"])) as sink:
            sink.write(with_zones("door", "gate"))
            wait_until(lambda: names(topics) == {*zones, "gate entered", "gate left"})


def test_a_removed_source_leaves_nothing_at_the_broker(broker):
    with collected(broker.port) as topics, contextlib.closing(MqttSink(settings(broker))) as sink:
        statuses = {"cam": SourceStatus("live"), "other": SourceStatus("waiting")}
        sink.report_sources(lambda: dict(statuses))
        sink.write(with_zones("door"))
        wait_until(lambda: TOPICS.zone("cam", "door") in topics and presence(topics) == "seen")
        wait_until(lambda: TOPICS.source_status("other") in topics)
        # The last one, too: `statuses` says nothing then.
        statuses.clear()
        sink.remove_source("cam")
        sink.remove_source("other")
        wait_until(lambda: list(topics) == [TOPICS.status])
        statuses["cam"] = SourceStatus("live")
        sink.add_source("cam", is_live=True)
        sink.write(result("bound", 1))
        wait_until(lambda: presence(topics) == "seen")
        assert topics[TOPICS.source_status("cam")] == "live"


def test_zones_and_sources_of_an_earlier_configuration_are_deleted(broker):
    with collected(broker.port) as topics:
        with contextlib.closing(MqttSink(settings(broker))) as sink:
            sink.report_sources(lambda: {"cam": SourceStatus("live"), "old": SourceStatus("live")})
            sink.write(with_zones("door", "gate"))
            wait_until(lambda: {TOPICS.zone("cam", "gate"), TOPICS.source_status("old")} <= topics.keys())
        with contextlib.closing(MqttSink(settings(broker))) as sink:
            sink.report_sources(lambda: {"cam": SourceStatus("live")})
            wait_until(lambda: TOPICS.source_status("old") not in topics)
            # Until its first frame, the zones of a source are unknown.
            assert TOPICS.zone("cam", "gate") in topics
            sink.write(with_zones("door"))
            wait_until(lambda: TOPICS.zone("cam", "gate") not in topics)
            assert TOPICS.zone("cam", "door") in topics
            entities = [json.loads(text) for topic, text in topics.items() if topic.startswith("homeassistant/")]
            left = {one["state_topic"] for one in entities}
            assert left == {CUP, TOPICS.zone("cam", "door"), TOPICS.source_status("cam")}


def test_runs_whose_topics_begin_alike_do_not_touch_each_other(broker):
    nested = Topics("streamseg/garage")
    with (
        collected(broker.port) as topics,
        contextlib.closing(MqttSink(settings(broker, topic="streamseg/garage"))) as garage,
        contextlib.closing(MqttSink(settings(broker))) as sink,
    ):
        garage.report_sources(lambda: {"cam": SourceStatus("live")})
        garage.write(result("bound"))
        wait_until(lambda: nested.presence("cam", "cup") in topics)
        for state in ("live", "stalled", "live"):
            sink.report_sources(lambda state=state: {"house": SourceStatus(state)})
            wait_until(lambda state=state: topics.get(TOPICS.source_status("house")) == state)
        assert topics[nested.status] == "online"
        assert topics[nested.source_status("cam")] == "live"


def test_after_a_restart_of_the_broker_everything_is_sent_again(broker):
    with contextlib.closing(MqttSink(settings(broker))) as sink:
        sink.write(result("bound"))
        with collected(broker.port) as topics:
            wait_until(lambda: presence(topics) == "seen")
        broker.kill()
        sink.write(result("lost", 1))
        broker.start()
        with collected(broker.port) as topics:
            wait_until(lambda: presence(topics) == "lost")
            wait_until(lambda: topics.get(TOPICS.status) == "online")


def test_positions_are_reported_at_most_once_per_interval(broker):
    seconds = [0.0]
    with (
        collected(broker.port) as topics,
        contextlib.closing(MqttSink(settings(broker, interval_s=10), clock=lambda: seconds[0])) as sink,
    ):
        sink.write(result("bound"))
        wait_until(lambda: presence(topics) == "seen")
        first = topics[CUP]
        moved = result("bound", 1)
        [found] = moved.message.objects
        x0, y0, x1, y1 = found.box
        message = replace(moved.message, objects=(replace(found, box=(x0 + 1, y0, x1 + 1, y1)),))
        sink.write(replace(moved, message=message))
        # A state of a source is sent with each comparison: two of them have passed without a report of the object.
        for state in ("stalled", "live"):
            sink.report_sources(lambda state=state: {"cam": SourceStatus(state)})
            wait_until(lambda state=state: topics.get(TOPICS.source_status("cam")) == state)
        assert topics[CUP] == first
        seconds[0] = 11.0
        wait_until(lambda: topics[CUP] != first)


def test_zones_are_reported(broker):
    with collected(broker.port) as topics, contextlib.closing(MqttSink(settings(broker))) as sink:
        one = result("bound")
        zone = ZoneStatus("door", (1,), entered=(1,), num_entered=1)
        sink.write(replace(one, message=replace(one.message, zones=(zone,))))
        wait_until(lambda: TOPICS.zone("cam", "door") in topics)
        assert json.loads(topics[TOPICS.zone("cam", "door")])["num_inside"] == 1


def test_a_broker_out_of_reach_is_an_error_after_a_while_and_names_it(broker):
    broker.kill()
    seconds = [0.0]
    with contextlib.closing(MqttSink(settings(broker), clock=lambda: seconds[0])) as sink:
        sink.write(result("bound"))
        seconds[0] = 6.0
        assert refusal(sink).startswith(f"cannot reach the MQTT broker mqtt://127.0.0.1:{broker.port}: ")


def test_login(tmp_path):
    broker = Broker(tmp_path, password="open sesame")
    broker.start()
    try:
        right = settings(broker, user="camera", password="open sesame")
        with (
            collected(broker.port, username="camera", password="open sesame") as topics,
            contextlib.closing(MqttSink(right)),
        ):
            wait_until(lambda: topics.get(TOPICS.status) == "online")
        wrong = settings(broker, user="camera", password="wrong")
        seconds = [0.0]
        with contextlib.closing(MqttSink(wrong, clock=lambda: seconds[0])) as sink:
            seconds[0] = 6.0
            wait_until(lambda: "Not authorized" in refusal(sink))
    finally:
        broker.kill()


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"address": "127.0.0.1:1883"}, "is no broker; write mqtt://"),
        ({"address": "http://host"}, "is no broker; write mqtt://"),
        ({"address": "mqtt://"}, "is not HOST:PORT"),
        ({"address": "mqtt://host:0"}, "port 0"),
        ({"address": "mqtt://me:secret@host"}, "mqtt.user and mqtt.password"),
        ({"topic": "home/+/x"}, "is not a topic"),
        ({"topic": "/home"}, "is not a topic"),
        ({"topic": "home/"}, "is not a topic"),
        ({"topic": "$SYS"}, "is not a topic"),
        ({"password": "secret"}, "password requires user"),
        ({"address": "mqtt://host", "ca_file": "ca.pem"}, "requires TLS"),
    ],
)
def test_bad_settings_are_refused_without_secrets(keys, problem):
    with pytest.raises((ValueError, ConfigError), match=problem) as error:
        Config(mqtt=keys)
    assert "me:secret" not in str(error.value).split("input_value")[0]


def test_a_file_of_certificates_that_is_missing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"mqtt\.ca_file"):
        MqttSink(MqttConfig(address="mqtts://127.0.0.1", ca_file=str(tmp_path / "ca.pem")))
