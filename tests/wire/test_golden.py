"""The bytes of wire version 1 never change."""

from dataclasses import replace

import pytest

from streamseg.structures.degradation import NO_DEGRADATION
from streamseg.wire import MASK_ENCODINGS, decode, decode_status, pack_single, unpack_single
from tests.golden import make_wire_golden as golden
from tests.support.messages import comparable


def _read(name: str) -> bytes:
    return (golden.FOLDER / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("name", golden.NAMES)
def test_encoding_reproduces_golden_bytes(name):
    assert pack_single(golden.parts_of(name)) == _read(name)


@pytest.mark.parametrize("name", ["empty", "picture", "rle-crop-u32", "bits-crop", "coco-rle"])
def test_golden_bytes_decode_to_message(name):
    assert comparable(decode(unpack_single(_read(name)))) == comparable(golden.MESSAGES[name])


def test_compressed_golden_bytes_decode_to_message():
    assert comparable(decode(unpack_single(_read("zlib")))) == comparable(golden.FULL)


EARLIER = [
    pytest.param(golden.FOLDER_1_0, b'"version":[1,0]', lambda prompts: (), id="1.0: without prompts"),
    pytest.param(
        golden.FOLDER_1_1,
        b'"version":[1,1]',
        lambda prompts: tuple(replace(one, mask_quality=None, mask_source="proposal") for one in prompts),
        id="1.1: without mask_quality and mask_source",
    ),
    pytest.param(
        golden.FOLDER_1_2,
        b'"version":[1,2]',
        lambda prompts: tuple(replace(one, mask_source=one.mask_source or "proposal") for one in prompts),
        id="1.2: without degradation",
    ),
    pytest.param(golden.FOLDER_1_3, b'"version":[1,3]', lambda prompts: prompts, id="1.3: without zones"),
]


@pytest.mark.parametrize("name", ["empty", "picture", "rle-crop-u32", "bits-crop", "coco-rle", "zlib"])
@pytest.mark.parametrize(("folder", "version", "known"), EARLIER)
def test_bytes_of_earlier_versions_decode_to_what_they_hold(folder, version, known, name):
    body = (folder / f"{name}.bin").read_bytes()
    assert version in body
    written = golden.MESSAGES.get(name, golden.FULL)
    degradation = written.degradation if folder == golden.FOLDER_1_3 else NO_DEGRADATION
    expected = replace(written, prompts=known(written.prompts), degradation=degradation, zones=())
    assert comparable(decode(unpack_single(body))) == comparable(expected)


@pytest.mark.parametrize(("folder", "version", "known"), EARLIER)
def test_fixtures_of_earlier_versions_are_complete(folder, version, known):
    assert {path.name for path in folder.iterdir()} == {path.name for path in golden.FOLDER.iterdir()}
    status = decode_status(unpack_single((folder / "status.bin").read_bytes()))
    states = golden.STATUS.states if folder in (golden.FOLDER_1_2, golden.FOLDER_1_3) else {}
    assert status == replace(golden.STATUS, states=states), "status 1.0: without states"


def test_label_map_decodes_to_visible_parts():
    first, second, *others = golden.FULL.objects
    read = decode(unpack_single(_read("label-u16"))).objects
    visible = second.mask.full((48, 64)) & ~first.mask.full((48, 64))
    assert visible.sum() < second.area, "the fixture's first two masks overlap"
    assert (read[0].mask.crop == first.mask.crop).all()
    assert (read[1].mask.full((48, 64)) == visible).all()
    assert [found.area for found in read] == [found.area for found in golden.FULL.objects]
    for found, original in zip(read[2:], others, strict=True):
        assert (found.mask.crop == original.mask.crop).all()


def test_golden_status_decodes():
    assert decode_status(unpack_single(_read("status"))) == golden.STATUS


def test_every_mask_encoding_has_fixture():
    assert set(MASK_ENCODINGS) <= {path.stem for path in golden.FOLDER.iterdir()}
