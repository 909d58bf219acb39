"""Frame and status messages as parts, topics, and parts from untrusted peers."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.errors import WireError
from streamseg.structures.degradation import Degradation
from streamseg.structures.message import PromptStatus
from streamseg.structures.source_status import SOURCE_STATES, SourceStatus
from streamseg.structures.zone import ZoneStatus
from streamseg.wire import (
    MASK_ENCODINGS,
    Status,
    assemble,
    decode,
    decode_status,
    encode,
    encode_status,
    image_topic,
    mask_buffers,
    mask_topic,
    pack_single,
    read_header,
)
from tests.support.messages import comparable, disc, make_message, make_object, messages

LOSSLESS = tuple(encoding for encoding in MASK_ENCODINGS if encoding != "label-u16")
MESSAGE = make_message(
    make_object(disc(9), 3, 2, label="cup"),
    make_object(disc(20), 30, 20, track_id=-1, prompt_ids=("a", "b")),
    prompts=(PromptStatus("a", "bound", 0.9, 7), PromptStatus("b", "lost", 0.0, 3)),
    drops={"capture": {"newer_frame": 3}},
    degradation=Degradation(step=2, plain_masks=True, imgsz_scale=0.75),
    zones=(ZoneStatus("door", (7,), entered=(7,), num_entered=1),),
    jpeg=b"\xff\xd8\xff\xd9",
    epoch="e",
    seq=5,
)


@pytest.mark.slow
@given(messages(), st.sampled_from(LOSSLESS), st.sampled_from(["none", "zlib"]))
def test_decode_inverts_encode(message, mask_encoding, compression):
    parts = encode(message, mask_encoding=mask_encoding, compression=compression)
    assert comparable(decode(parts)) == comparable(message)


@pytest.mark.slow
@given(messages(), st.sampled_from(MASK_ENCODINGS))
def test_encode_inverts_decode(message, mask_encoding):
    parts = encode(message, mask_encoding=mask_encoding)
    assert encode(decode(parts), mask_encoding=mask_encoding) == parts


@pytest.mark.slow
@given(messages())
def test_memory_views_decode_like_bytes(message):
    parts = encode(message)
    assert comparable(decode([memoryview(part) for part in parts])) == comparable(message)


def test_numbers_are_rounded_to_the_stated_precision():
    found = make_object(disc(3), 0, 0, box=(1.234, 5.678, 100.0049, 200.0051), score=0.123456)
    read = decode(encode(make_message(found, age_ms=1.23456)))
    assert read.objects[0].box == (1.23, 5.68, 100.0, 200.01)
    assert read.objects[0].score == 0.1235
    assert read.age_ms == 1.235


def test_numpy_numbers_are_encoded():
    found = make_object(
        disc(3), 0, 0, track_id=np.int64(4), score=np.float32(0.5), box=tuple(np.ones(4, np.float32)), area=np.int64(9)
    )
    assert decode(encode(make_message(found))).objects[0].track_id == 4


def test_image_determines_topic():
    with_image, without = encode(MESSAGE), encode(MESSAGE, include_jpeg=False)
    assert (with_image[0], without[0]) == (b"pic/1/cam0/", b"seg/1/cam0/")
    assert decode(with_image).jpeg == MESSAGE.jpeg
    assert decode(without).jpeg is None


def test_message_without_image_may_use_image_topic():
    assert decode([b"pic/1/cam0/", *encode(MESSAGE, include_jpeg=False)[1:]]).jpeg is None


def test_variants_share_encoded_masks():
    buffers = mask_buffers(MESSAGE, "rle-crop-u32")
    assert assemble(MESSAGE, buffers) == encode(MESSAGE)
    assert assemble(MESSAGE, buffers, include_jpeg=False) == encode(MESSAGE, include_jpeg=False)


def test_header_of_sixty_objects_takes_few_kilobytes():
    found = make_object(disc(9), 3, 2, box=(1234.56, 1234.56, 1234.56, 1234.56), score=0.1234, track_id=12345)
    assert len(encode(make_message(*[found] * 60))[1]) < 8000


def test_header_of_thousand_prompts_takes_130_kilobytes():
    prompts = tuple(PromptStatus(f"prompt {nth}", "reacquired", 0.1234, 12345, 0.1234) for nth in range(1024))
    parts = encode(make_message(prompts=prompts))
    assert len(parts[1]) < 130_000
    assert decode(parts).prompts == prompts


def test_decode_accepts_parsed_header():
    parts = encode(MESSAGE)
    assert comparable(decode(parts, read_header(parts))) == comparable(MESSAGE)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"source_id": "a/b"}, "source id", id="slash in source id"),
        pytest.param({"source_id": "cam\n"}, "source id", id="line break in source id"),
        pytest.param({"source_id": ""}, "source id", id="empty source id"),
        pytest.param({"age_ms": float("nan")}, "JSON", id="age is NaN"),
        pytest.param({"pts_seconds": float("inf")}, "JSON", id="infinite time"),
        pytest.param({"frame_id": "\ud800"}, "JSON", id="unpaired surrogate"),
        pytest.param({"mask_size": (8, 8)}, "outside the mask space", id="mask outside mask space"),
        pytest.param({"objects": (MESSAGE.objects[0],) * 5000}, "at most 4096", id="too many objects"),
        pytest.param({"prompts": (PromptStatus("a", "none"),) * 4097}, "at most 4096 prompts", id="too many prompts"),
        pytest.param({"prompts": (PromptStatus("a", "bound", float("nan")),)}, "JSON", id="confidence is NaN"),
    ],
)
def test_message_beyond_format_is_rejected(changes, error):
    with pytest.raises(WireError, match=error) as caught:
        encode(replace(MESSAGE, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", [{"mask_encoding": "polygons"}, {"compression": "lz4"}])
def test_unknown_options_are_rejected(option):
    with pytest.raises(WireError, match="unknown"):
        encode(MESSAGE, **option)


def _with_header(parts: list[bytes], **changes: Any) -> list[bytes]:
    values = json.loads(parts[1])
    values.update(changes)
    return [parts[0], json.dumps(values).encode(), *parts[2:]]


PARTS = encode(MESSAGE)
TABLE = json.loads(PARTS[1])["buffers"]


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        pytest.param([], "0 parts", id="no parts"),
        pytest.param(PARTS[:1], "1 parts", id="topic only"),
        pytest.param(PARTS[:-1], "lists 4 buffers, got 3", id="one buffer too few"),
        pytest.param([*PARTS, b""], "lists 4 buffers, got 5", id="one buffer too many"),
        pytest.param([b"pic/1/cam1/", *PARTS[1:]], "topic", id="topic of another source"),
        pytest.param([b"seg/1/cam0/", *PARTS[1:]], "topic", id="image on mask topic"),
        pytest.param(_with_header(PARTS, buffers=[*TABLE[:2], TABLE[1], TABLE[3]]), "must differ", id="duplicate name"),
        pytest.param(_with_header(PARTS, buffers=[*TABLE[:2], {**TABLE[2], "name": "x"}, TABLE[3]]), "missing", id="x"),
        pytest.param(_with_header(PARTS, objects=[]), "shape", id="fewer objects than masks"),
        pytest.param(_with_header(PARTS, objects=[1, 2]), "object", id="objects are numbers"),
        pytest.param([*PARTS[:5], PARTS[5][:-1]], "'jpeg' has 3 bytes", id="truncated image"),
    ],
)
def test_contradictory_parts_are_rejected(parts, error):
    with pytest.raises(WireError, match=error) as caught:
        decode(parts)
    assert "\n" not in str(caught.value)


def test_unknown_keys_and_buffers_are_ignored():
    values = json.loads(PARTS[1])
    values["weather"] = {"rain": [1, 2]}
    values["objects"][0]["depth"] = 3.5
    values["stamp"]["leap"] = True
    values["version"] = [1, 99]
    values["buffers"].append(
        {"name": "depth", "encoding": "metres", "dtype": "<f4", "shape": [2, 2], "compression": "zstd", "unit": "m"}
    )
    read = decode([PARTS[0], json.dumps(values).encode(), *PARTS[2:], b"anything"])
    assert comparable(read) == comparable(MESSAGE)


def test_keys_with_defaults_are_optional():
    values = json.loads(PARTS[1])
    for key in ("pts_seconds", "frame_id", "prompts", "drops"):
        del values[key]
    del values["objects"][0]["label"]
    read = decode([PARTS[0], json.dumps(values).encode(), *PARTS[2:]])
    assert (read.pts_seconds, read.frame_id, read.prompts, read.drops) == (None, "", (), {})
    assert read.objects[0].label is None


def test_other_major_version_is_rejected():
    with pytest.raises(WireError, match=r"version 2\.0 is not supported"):
        decode(_with_header(PARTS, version=[2, 0]))


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 1, 2**31, 2**32, 2**53, 2**64, 10**400, 0.5, 1e308])
    | st.floats()
    | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)


def _replace_somewhere(draw: st.DrawFn, value: Any) -> Any:
    """Return the JSON with one value replaced, or one key or item removed, at a drawn depth."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 4)):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = draw(st.sampled_from(keys))
        changed = value.copy()
        if draw(st.integers(0, 9)):
            changed[key] = _replace_somewhere(draw, value[key])
        else:
            del changed[key]
        return changed
    return draw(JSON_VALUES)


@st.composite
def broken_parts(draw: st.DrawFn) -> list[bytes]:
    """Draw a message with a corrupted header value, corrupted bytes or missing parts."""
    encoding, compression = draw(st.sampled_from(MASK_ENCODINGS)), draw(st.sampled_from(["none", "zlib"]))
    parts = encode(MESSAGE, mask_encoding=encoding, compression=compression)
    match draw(st.sampled_from(["header", "bytes", "length", "parts"])):
        case "header":
            parts[1] = json.dumps(_replace_somewhere(draw, json.loads(parts[1]))).encode()
        case "bytes":
            nth = draw(st.integers(0, len(parts) - 1))
            body = bytearray(parts[nth])
            for _ in range(draw(st.integers(1, 3))):
                body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
            parts[nth] = bytes(body)
        case "length":
            nth = draw(st.integers(0, len(parts) - 1))
            cut = draw(st.integers(0, len(parts[nth])))
            parts[nth] = parts[nth][:cut] + draw(st.binary(max_size=8))
        case "parts":
            parts = draw(st.permutations(parts))[: draw(st.integers(0, len(parts)))]
    return parts


@pytest.mark.slow
@settings(max_examples=600)
@given(broken_parts())
def test_untrusted_bytes_raise_only_wire_errors(parts):
    try:
        message = decode(parts)
    except WireError:
        return
    encode(message)
    pack_single(parts)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(st.binary(max_size=60), max_size=4))
def test_noise_is_rejected(parts):
    with pytest.raises(WireError):
        decode(parts)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"[" * 100_000, id="nested too deeply"),
        pytest.param(b'{"a":' * 100_000, id="objects nested too deeply"),
        pytest.param(b'{"seq": ' + b"9" * 5000 + b"}", id="number of 5000 digits"),
        pytest.param(b" " * ((4 << 20) + 1), id="more than four megabytes"),
        pytest.param(b'{"age_ms": NaN}', id="not a number"),
        pytest.param(b'{"age_ms": -Infinity}', id="infinity"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"", id="empty"),
    ],
)
def test_headers_that_attack_parser_are_rejected(header):
    with pytest.raises(WireError) as caught:
        read_header([PARTS[0], header])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


SOURCE_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)


@pytest.mark.slow
@given(SOURCE_IDS, SOURCE_IDS)
def test_topic_matches_its_own_source_only(one, other):
    for topic in (mask_topic, image_topic):
        assert topic(one).startswith(topic(other)) == (one == other)
    assert not image_topic(one).startswith(mask_topic(other))


STATUS = Status(
    "e",
    1_700_000_000_000_000_001,
    {"cam0": 3, "cam1": -1},
    {"cam0": SourceStatus("live", 2.5), "cam1": SourceStatus("waiting", 0.125, "no connection")},
)
SOURCE_STATUSES = st.builds(
    SourceStatus,
    st.sampled_from(SOURCE_STATES),
    st.integers(0, 10**9).map(lambda thousandths: thousandths / 1000),
    st.none() | st.text(st.characters(codec="utf-8"), max_size=20),
)
STATUS_BODY = json.loads(encode_status(STATUS)[1])


@pytest.mark.slow
@given(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.integers(0, 10**19),
    st.dictionaries(SOURCE_IDS, st.integers(-1, 2**53 - 1)),
    st.dictionaries(SOURCE_IDS, SOURCE_STATUSES),
)
def test_decode_status_inverts_encode_status(epoch, stamp_ns, sources, states):
    status = Status(epoch, stamp_ns, sources, states)
    assert decode_status(encode_status(status)) == status


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "streamseg.frame"}, {"version": [2, 0]}, {"epoch": 5}, {"stamp": {}}, {"sources": []},
        {"sources": {"a/b": 1}}, {"sources": {"cam0": -2}}, {"sources": {"cam0": "1"}},
        {"sources": {f"s{nth}": 0 for nth in range(4097)}},
        {"states": []}, {"states": {"a/b": {"state": "live", "seconds": 1}}}, {"states": {"cam0": 1}},
        {"states": {"cam0": {"state": "live"}}}, {"states": {"cam0": {"state": 5, "seconds": 1}}},
        {"states": {"cam0": {"state": "live", "seconds": "1"}}},
        {"states": {"cam0": {"state": "live", "seconds": 1, "error": 5}}},
        {"states": {f"s{nth}": {"state": "live", "seconds": 1} for nth in range(4097)}},
    ],
)  # fmt: skip
def test_invalid_status_is_rejected(changes):
    with pytest.raises(WireError):
        decode_status([b"status/1/", json.dumps({**STATUS_BODY, **changes}).encode()])


def test_state_of_a_later_version_is_left_out():
    states = {"cam0": {"state": "dreaming", "seconds": 1, "error": None}, "cam1": STATUS_BODY["states"]["cam1"]}
    read = decode_status([b"status/1/", json.dumps({**STATUS_BODY, "states": states}).encode()])
    assert read.states == {"cam1": STATUS.states["cam1"]}


def test_long_error_with_surrogates_can_be_sent():
    states = {"cam0": SourceStatus("failed", 0.0, "\udcff" + "x" * 5000)}
    read = decode_status(encode_status(Status("e", 0, {}, states))).states["cam0"].error
    assert read == "?" + "x" * 1023


@pytest.mark.parametrize("parts", [[], [b"status/1/"], [b"seg/1/a/", b"{}"], [b"status/1/", b"{}", b""]])
def test_parts_without_status_are_rejected(parts):
    with pytest.raises(WireError, match="status"):
        decode_status(parts)
