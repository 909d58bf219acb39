"""The header against its JSON Schema."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import WireError
from streamseg.structures.degradation import NO_DEGRADATION, Degradation
from streamseg.structures.message import PromptStatus
from streamseg.structures.zone import ZoneStatus
from streamseg.wire import MASK_ENCODINGS, encode
from streamseg.wire.header import parse_header
from tests.golden import make_wire_golden as golden
from tests.support.messages import disc, make_message, make_object, messages
from tests.support.paths import PACKAGE

ASSETS = PACKAGE / "assets"
SCHEMA = json.loads((ASSETS / "message.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
MESSAGE = make_message(
    make_object(disc(9), 3, 2, label="cup"),
    prompts=(PromptStatus("cup", "bound", 0.9, 7, 0.8),),
    drops={"capture": {"newer_frame": 3}},
    degradation=Degradation(step=2, plain_masks=True, imgsz_scale=0.75),
    zones=(ZoneStatus("door", (3, 8), entered=(8,), left=(4,), num_entered=5, num_left=3),),
    epoch="e",
    seq=5,
)
HEADER = json.loads(encode(MESSAGE)[1])


def test_schema_is_valid():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", golden.MESSAGES)
def test_fixtures_follow_schema(name):
    VALIDATOR.validate(json.loads(golden.parts_of(name)[1]))


@pytest.mark.slow
@given(messages(), st.sampled_from(MASK_ENCODINGS))
def test_every_header_follows_schema(message, mask_encoding):
    VALIDATOR.validate(json.loads(encode(message, mask_encoding=mask_encoding)[1]))


def _changed(path: str, value: Any) -> dict[str, Any]:
    """Return the header with the value at a dotted path replaced; `...` removes it."""
    changed = json.loads(json.dumps(HEADER))
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    container = changed
    for part in parents:
        container = container[part]
    if value is ...:
        del container[last]
    else:
        container[last] = value
    return changed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", "streamseg.status"), ("schema", ...), ("version", [1]), ("version", [2, 0]), ("version", [1, -1]),
        ("version", "1.0"), ("version", ...), ("source", "a/b"), ("source", 5), ("source", ...), ("epoch", None),
        ("epoch", "x" * 1025), ("epoch", ...), ("seq", -2), ("seq", 0.5), ("seq", True), ("seq", 2**53), ("seq", ...),
        ("index", -1), ("index", ...), ("stamp", 5), ("stamp.sec", -1), ("stamp.sec", 10**12), ("stamp.sec", ...),
        ("stamp.nanosec", 10**9), ("stamp.nanosec", ...), ("clock", "sundial"), ("clock", ["camera"]), ("clock", ...),
        ("age_ms", "old"), ("age_ms", None), ("age_ms", ...), ("pts_seconds", "1"), ("frame_id", None),
        ("image", ...), ("image.w", 40000), ("image.h", -1), ("image.h", ...), ("mask_space", ...),
        ("mask_space.w", 1.5), ("mask_space.to_image", [1, 1, 0]), ("mask_space.to_image", [1, 1, 0, "0"]),
        ("mask_space.to_image", ...), ("objects", ...), ("objects", {}), ("objects", [HEADER["objects"][0]] * 4097),
        ("prompts", None), ("prompts", {}), ("prompts", [HEADER["prompts"][0]] * 4097), ("prompts.0", "cup"),
        ("prompts.0.id", ...), ("prompts.0.id", 5), ("prompts.0.id", "x" * 1025), ("prompts.0.state", ...),
        ("prompts.0.state", 1), ("prompts.0.state", "x" * 1025), ("prompts.0.confidence", ...),
        ("prompts.0.confidence", -0.1), ("prompts.0.confidence", 1.1), ("prompts.0.confidence", "1"),
        ("prompts.0.mask_quality", -0.1), ("prompts.0.mask_quality", 1.1), ("prompts.0.mask_quality", "1"),
        ("prompts.0.mask_source", 1), ("prompts.0.mask_source", ["x"]), ("prompts.0.mask_source", "x" * 1025),
        ("prompts.0.track_id", ...), ("prompts.0.track_id", -2), ("prompts.0.track_id", 1.5),
        ("drops", None), ("drops", {"capture": 3}), ("drops", {"capture": {"newer_frame": -1}}),
        ("drops", {str(nth): {} for nth in range(65)}), ("drops", {"a": {str(nth): 0 for nth in range(65)}}),
        ("degradation", None), ("degradation", {}), ("degradation.step", -1), ("degradation.step", 1001),
        ("degradation.step", "1"), ("degradation.plain_masks", 1), ("degradation.plain_masks", None),
        ("degradation.imgsz_scale", 0), ("degradation.imgsz_scale", 1.1), ("degradation.imgsz_scale", "1"),
        ("degradation.every_nth", 0), ("degradation.every_nth", 1.5), ("degradation.every_nth", 1001),
        ("zones", None), ("zones", {}), ("zones", [HEADER["zones"][0]] * 1025), ("zones.0", "door"),
        ("zones.0.id", ...), ("zones.0.id", 5), ("zones.0.id", "x" * 1025), ("zones.0.track_ids", None),
        ("zones.0.track_ids", [-1]),
        ("zones.0.entered", [1.5]), ("zones.0.left", ["4"]), ("zones.0.left", [1] * 4097),
        ("zones.0.num_entered", ...), ("zones.0.num_entered", -1), ("zones.0.num_left", ...), ("zones.0.num_left", "3"),
        ("buffers", ...), ("buffers", [HEADER["buffers"][0]] * 17), ("buffers.0", 1), ("buffers.0.name", ...),
        ("buffers.0.shape", [-1]), ("buffers.0.shape", ...), ("buffers.0.dtype", ...), ("buffers.0.compression", None),
    ],
)  # fmt: skip
def test_schema_and_reader_reject_same_headers(path, value):
    changed = _changed(path, value)
    assert not VALIDATOR.is_valid(changed)
    with pytest.raises(WireError):
        parse_header(json.dumps(changed).encode())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("pts_seconds", None), ("pts_seconds", ...), ("frame_id", ...), ("prompts", ...), ("prompts", []),
        ("prompts.0.state", "guessed"), ("prompts.0.confidence", 1), ("prompts.0.hint", 3), ("drops", ...),
        ("prompts.0.mask_source", ...), ("prompts.0.mask_source", "later"), ("prompts.0.mask_source", None),
        ("prompts.0.mask_quality", None), ("prompts.0.mask_quality", ...), ("prompts.0.mask_quality", 0),
        ("drops", {}), ("extra", [1]), ("degradation", ...), ("degradation", {"step": 0}), ("degradation.later", 1),
        ("zones", ...), ("zones", []), ("zones.0.track_ids", ...), ("zones.0.entered", []), ("zones.0.later", 1),
        ("version", [1, 7]), ("seq", -1), ("buffers", []), ("objects", []), ("age_ms", -3), ("buffers.0.dtype", "<f8"),
        ("stamp.sec", 0), ("image", {"w": 0, "h": 0}), ("epoch", ""), ("objects.0.label", None),
    ],
)  # fmt: skip
def test_schema_and_reader_accept_same_headers(path, value):
    changed = _changed(path, value)
    VALIDATOR.validate(changed)
    parse_header(json.dumps(changed).encode())


def test_unknown_prompt_state_counts_as_none():
    changed = _changed("prompts.0.state", "guessed") | {"version": [1, 4]}
    (status,) = parse_header(json.dumps(changed).encode()).prompts
    assert status == PromptStatus("cup", "none", 0.9, 7, 0.8)


def test_version_1_0_has_no_prompts():
    old = _changed("prompts", ...) | {"version": [1, 0]}
    assert parse_header(json.dumps(old).encode()).prompts == ()


def test_version_1_2_has_no_degradation():
    old = _changed("degradation", ...) | {"version": [1, 2]}
    assert parse_header(json.dumps(old).encode()).degradation == NO_DEGRADATION


def test_stamp_is_split_without_loss():
    message = make_message(captured_ns=1_799_999_999_999_999_999)
    assert json.loads(encode(message)[1])["stamp"] == {"sec": 1_799_999_999, "nanosec": 999_999_999}
    assert parse_header(encode(message)[1]).captured_ns == 1_799_999_999_999_999_999


@pytest.mark.parametrize("number", [b"1e999", b"NaN", b"Infinity", b"-1e999"])
def test_non_finite_numbers_are_rejected(number):
    body = encode(MESSAGE)[1].replace(b'"age_ms":21.5', b'"age_ms":' + number)
    with pytest.raises(WireError):
        parse_header(body)


def test_unpaired_surrogate_is_rejected():
    with pytest.raises(WireError, match="surrogate"):
        parse_header(encode(MESSAGE)[1].replace(b'"epoch":"e"', rb'"epoch":"\ud800"'))
