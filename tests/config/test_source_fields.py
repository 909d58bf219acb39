"""The keys of each type of source, for forms."""

from typing import get_args

import pytest

from streamseg.config import SourceConfig, parse_source_section, source_fields

MODELS = get_args(get_args(SourceConfig)[0])


def _field(source_type, key):
    return next(field for field in source_fields()[source_type] if field["key"] == key)


def test_every_key_of_every_type_is_listed():
    fields = source_fields()
    assert {name: {field["key"] for field in found} for name, found in fields.items()} == {
        model.model_fields["type"].default: set(model.model_fields) - {"type"} for model in MODELS
    }


@pytest.mark.parametrize(
    ("source_type", "key", "expected"),
    [
        pytest.param("stream", "url", {"kind": "text", "required": True, "default": None}, id="required"),
        pytest.param("stream", "transport", {"kind": "choice", "choices": ["auto", "tcp", "udp"]}, id="choice"),
        pytest.param("stream", "loop", {"kind": "flag", "default": False, "nullable": False}, id="flag"),
        pytest.param("stream", "frozen_seconds", {"kind": "number", "default": 30.0, "nullable": True}, id="nullable"),
        pytest.param("webcam", "device", {"kind": "number or text", "default": 0}, id="index-or-path"),
        pytest.param("webcam", "fourcc", {"kind": "text", "default": "MJPG", "choices": []}, id="text"),
    ],
)
def test_fields(source_type, key, expected):
    assert _field(source_type, key).items() >= expected.items()


def test_required_keys_come_first():
    assert [fields[0]["key"] for fields in source_fields().values() if any(field["required"] for field in fields)] == [
        "url",
        "path",
        "path",
        "topic",
    ]


@pytest.mark.parametrize("source_type", list(source_fields()))
def test_defaults_are_a_valid_section(source_type):
    values = {field["key"]: field["default"] for field in source_fields()[source_type]}
    given = {"url": "rtsp://camera/1", "path": "recordings/cam", "topic": "/camera/image_raw"}
    required = {field["key"]: given[field["key"]] for field in source_fields()[source_type] if field["required"]}
    assert parse_source_section({"type": source_type, **values, **required}).type == source_type
