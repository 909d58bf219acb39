"""The bytes of wire version 1 stay what they are."""

from dataclasses import replace

import pytest

from streamseg.wire import MASK_ENCODINGS, decode, decode_status, pack_single, unpack_single
from tests.golden import make_wire_golden as golden
from tests.support.messages import comparable


def _read(name: str) -> bytes:
    return (golden.FOLDER / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("name", golden.NAMES)
def test_the_same_message_is_written_byte_for_byte(name):
    assert pack_single(golden.parts_of(name)) == _read(name)


@pytest.mark.parametrize("name", ["empty", "picture", "rle-crop-u32", "bits-crop", "coco-rle"])
def test_the_bytes_are_read_as_the_message(name):
    assert comparable(decode(unpack_single(_read(name)))) == comparable(golden.MESSAGES[name])


def test_compressed_bytes_are_read_as_the_message():
    assert comparable(decode(unpack_single(_read("zlib")))) == comparable(golden.FULL)


@pytest.mark.parametrize("name", ["empty", "picture", "rle-crop-u32", "bits-crop", "coco-rle", "zlib"])
def test_the_bytes_of_version_1_0_are_read_as_a_message_without_prompts(name):
    body = (golden.FOLDER_1_0 / f"{name}.bin").read_bytes()
    assert b'"version":[1,0]' in body
    written = golden.MESSAGES.get(name, golden.FULL)
    assert comparable(decode(unpack_single(body))) == comparable(replace(written, prompts=()))


def test_version_1_0_is_there_whole():
    assert {path.name for path in golden.FOLDER_1_0.iterdir()} == {path.name for path in golden.FOLDER.iterdir()}
    assert (golden.FOLDER_1_0 / "status.bin").read_bytes() == _read("status"), "the status has not changed"


def test_a_label_map_gives_what_is_visible():
    first, second, *others = golden.FULL.objects
    read = decode(unpack_single(_read("label-u16"))).objects
    below = second.mask.full((48, 64)) & ~first.mask.full((48, 64))
    assert below.sum() < second.area, "the fixture's first two masks overlap"
    assert (read[0].mask.crop == first.mask.crop).all()
    assert (read[1].mask.full((48, 64)) == below).all()
    assert [found.area for found in read] == [found.area for found in golden.FULL.objects]
    for found, original in zip(read[2:], others, strict=True):
        assert (found.mask.crop == original.mask.crop).all()


def test_the_status_is_read():
    assert decode_status(unpack_single(_read("status"))) == golden.STATUS


def test_there_is_a_fixture_for_every_mask_encoding():
    assert set(MASK_ENCODINGS) <= {path.stem for path in golden.FOLDER.iterdir()}
