"""MQTT topics, states and discovery messages."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.mqtt.payloads import (
    Subject,
    Topics,
    entities_of,
    presence_json,
    prompt_entities,
    source_entity,
    zone_entities,
    zone_json,
)
from streamseg.mqtt.presence import Presence
from streamseg.structures.zone import ZoneStatus

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
SEEN = Presence(
    "seen", 1_700_000_000_250_999_999, 1_700_000_001_000_000_000, 0.8765, 7, (0.25, 0.5), (0.0, 0.1, 0.5, 1.0)
)


@given(NAMES, NAMES)
def test_any_ids_make_one_topic_without_wildcards(source_id, prompt_id):
    topics = Topics("home/streamseg")
    topic = topics.presence(source_id, prompt_id)
    assert topic.count("/") == 4
    assert not set("+#\x00") & set(topic)
    for subject in (
        Subject("presence", source_id, prompt_id),
        Subject("zone", source_id, prompt_id),
        Subject("status", source_id),
    ):
        assert topics.parse(topics.of(subject)) == subject
    assert topics.of(Subject("presence", source_id, prompt_id)) == topic


@pytest.mark.parametrize(
    "topic",
    ["home/streamseg/status", "home/streamseg/a/b/status", "home/streamseg/a/b/c/presence", "other/a/b/presence", ""],
)
def test_other_topics_have_no_subject(topic):
    assert Topics("home/streamseg").parse(topic) is None


@given(NAMES, NAMES, NAMES, NAMES)
def test_entity_ids_are_plain_and_unique(first, second, third, fourth):
    topics = Topics("streamseg")
    one, other = topics.entity_id(first, second), topics.entity_id(third, fourth)
    assert one.isascii()
    assert one.replace("_", "").replace("-", "").isalnum()
    assert (one == other) == ((first, second) == (third, fourth))


def test_presence_as_json():
    assert json.loads(presence_json(SEEN)) == {
        "presence": "seen",
        "since": "2023-11-14T22:13:20.250Z",
        "confidence": 0.876,
        "x": 0.25,
        "y": 0.5,
        "box": [0.0, 0.1, 0.5, 1.0],
        "track_id": 7,
    }
    assert json.loads(presence_json(Presence()))["since"] is None
    assert json.loads(presence_json(Presence()))["x"] is None


@given(st.integers(0, 4_000_000_000 * 1_000_000_000))
def test_since_is_the_time_to_milliseconds(since_ns):
    text = json.loads(presence_json(Presence("lost", since_ns)))["since"]
    parsed = datetime.fromisoformat(text)
    assert parsed.tzinfo == UTC
    assert abs(parsed.timestamp() - since_ns / 1e9) < 0.0011


def test_entities_of_a_prompt_read_its_topic_and_depend_on_run_and_source():
    topics = Topics("streamseg")
    messages = {topic: json.loads(text) for topic, text in prompt_entities(topics, "ha", "cam", "cup", "1.2").items()}
    assert {topic.split("/")[1] for topic in messages} == {"binary_sensor", "sensor"}
    assert len({one["unique_id"] for one in messages.values()}) == len(messages) == 3
    for topic, entity in messages.items():
        assert topic == f"ha/{topic.split('/')[1]}/{entity['unique_id']}/config"
        assert entity["state_topic"] == topics.presence("cam", "cup")
        assert [one["topic"] for one in entity["availability"]] == [topics.status, topics.source_status("cam")]
        assert entity["device"]["identifiers"] == [topics.entity_id("cam")]


def test_entity_of_a_source_belongs_to_the_same_device():
    topics = Topics("streamseg")
    [(topic, text)] = source_entity(topics, "ha", "cam", "1.2").items()
    entity = json.loads(text)
    assert topic == f"ha/sensor/{entity['unique_id']}/config"
    assert entity["state_topic"] == topics.source_status("cam")
    assert "waiting" in entity["options"]
    assert entity["device"]["identifiers"] == [topics.entity_id("cam")]


def test_counts_of_a_zone_are_sensors_that_read_its_topic():
    topics = Topics("streamseg")
    zone = ZoneStatus("door", (3, 8), entered=(8,), num_entered=5, num_left=3)
    state = json.loads(zone_json(zone))
    assert state == {"track_ids": [3, 8], "num_inside": 2, "num_entered": 5, "num_left": 3}
    entities = [json.loads(text) for text in zone_entities(topics, "ha", "cam", zone.zone_id, "1.2").values()]
    assert {one["state_topic"] for one in entities} == {topics.zone("cam", "door")}
    assert {one["value_template"] for one in entities} == {
        "{{ value_json.num_inside }}",
        "{{ value_json.num_entered }}",
        "{{ value_json.num_left }}",
    }
    assert len({one["unique_id"] for one in entities}) == 3


def test_a_line_has_no_objects_inside():
    topics = Topics("streamseg")
    zone = zone_entities(topics, "ha", "cam", "gate", "1.2")
    line = entities_of(topics, "ha", Subject("zone", "cam", "gate"), "1.2", is_line=True)
    assert line.keys() == zone.keys()
    (deleted,) = [topic for topic, text in line.items() if not text]
    assert json.loads(zone[deleted])["value_template"] == "{{ value_json.num_inside }}"
    assert all(line[topic] == zone[topic] for topic in line if topic != deleted)


def test_entities_of_each_kind_of_subject():
    topics = Topics("streamseg")
    for subject, found in (
        (Subject("status", "cam"), source_entity(topics, "ha", "cam", "1.2")),
        (Subject("presence", "cam", "cup"), prompt_entities(topics, "ha", "cam", "cup", "1.2")),
        (Subject("zone", "cam", "door"), zone_entities(topics, "ha", "cam", "door", "1.2")),
    ):
        assert entities_of(topics, "ha", subject, "1.2") == found
