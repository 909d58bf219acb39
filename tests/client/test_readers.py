"""Readers in C++, Node and Rust: golden bytes of every version, damaged bytes, and a live publisher."""

import contextlib
import json
import random
import subprocess
from dataclasses import replace

import pytest

from streamseg.publish import Publisher
from streamseg.wire import decode, encode, pack_single, unpack_single
from tests.golden import make_wire_golden as golden
from tests.support.messages import make_message
from tests.support.readers import cpp_reader, node_reader, read_files, rust_reader, summary
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

FOLDERS = [golden.FOLDER_1_0, golden.FOLDER_1_1, golden.FOLDER_1_2, golden.FOLDER_1_3, golden.FOLDER]
READERS = ["cpp", "node", "rust"]
MADE = {"cpp": cpp_reader, "rust": rust_reader}
"""Functions that compile a reader into a folder."""


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    """Commands of the readers, made on first use."""
    made = {}

    def of(name, **needs):
        key = (name, *needs.items())
        if key not in made:
            made[key] = MADE[name](tmp_path_factory.mktemp(name)) if name in MADE else node_reader(**needs)
        return made[key]

    return of


@pytest.mark.parametrize("reader", READERS)
def test_golden_messages_of_every_version_and_encoding(readers, reader):
    paths = [path for folder in FOLDERS for path in sorted(folder.glob("*.bin")) if path.stem != "status"]
    assert len(paths) >= 35
    expected = [summary(decode(unpack_single(path.read_bytes()))) for path in paths]
    assert read_files(readers(reader), paths) == expected


@pytest.mark.parametrize("reader", READERS)
def test_other_messages_and_later_versions(readers, reader, tmp_path):
    current = (golden.FOLDER / "rle-crop-u32.bin").read_bytes()
    bodies = {
        "status": (golden.FOLDER / "status.bin").read_bytes(),
        "another major version": current.replace(b'"version":[1,4]', b'"version":[2,0]'),
        "a later minor version with a new key": current.replace(b'"version":[1,4]', b'"version":[1,9]'),
        "nothing": b"",
        "a topic only": b"seg/1/cam/\x00",
    }
    paths = [tmp_path / str(position) for position in range(len(bodies))]
    for path, body in zip(paths, bodies.values(), strict=True):
        path.write_bytes(body)
    lines = dict(zip(bodies, read_files(readers(reader), paths), strict=True))
    assert lines.pop("a later minor version with a new key") == summary(golden.FULL)
    assert {name: list(line) for name, line in lines.items()} == {name: ["error"] for name in lines}


@pytest.mark.parametrize("reader", READERS)
def test_damaged_messages_are_refused_or_read_and_never_crash(readers, reader, tmp_path):
    draw = random.Random(7)
    paths = []
    for name in ("rle-crop-u32", "bits-crop", "coco-rle", "label-u16", "zlib", "picture"):
        whole = (golden.FOLDER / f"{name}.bin").read_bytes()
        for position in range(60):
            body = bytearray(whole[: draw.randrange(len(whole))] if position % 5 == 0 else whole)
            for _ in range(draw.randrange(1, 6)):
                if body:
                    body[draw.randrange(len(body))] = draw.randrange(256)
            paths.append(tmp_path / f"{name}-{position}")
            paths[-1].write_bytes(body)
    lines = read_files(readers(reader), paths)
    assert len(lines) == len(paths)
    refused = [line for line in lines if "error" in line]
    # A changed digit of a score is a valid message: some are read, most are not.
    assert len(paths) // 2 < len(refused) < len(paths)
    assert all(line["error"] and "\n" not in line["error"] for line in refused)


@pytest.mark.parametrize("reader", READERS)
def test_buffers_that_contradict_the_header(readers, reader, tmp_path):
    topic, header, *buffers = encode(golden.FULL)
    cases = []
    for change in (
        lambda all_values: all_values["buffers"].pop(),
        lambda all_values: all_values["buffers"][0].update(shape=[1]),
        lambda all_values: all_values["buffers"][0].update(shape=[2**40]),
        lambda all_values: all_values["buffers"][0].update(dtype="<f4"),
        lambda all_values: all_values["buffers"][0].update(encoding="jpeg2000"),
        lambda all_values: all_values["buffers"][0].update(compression="zlib"),
        lambda all_values: all_values["mask_space"].update(w=1),
        lambda all_values: all_values["image"].update(w=-1),
        lambda all_values: all_values["objects"].append(all_values["objects"][0]),
        lambda all_values: all_values.update(objects={}),
        lambda all_values: all_values["objects"][0].update(box=[1, 2]),
        lambda all_values: all_values["stamp"].update(nanosec=10**9),
    ):
        changed = json.loads(header)
        change(changed)
        cases.append(pack_single([topic, json.dumps(changed).encode(), *buffers]))
    paths = [tmp_path / str(position) for position in range(len(cases))]
    for path, body in zip(paths, cases, strict=True):
        path.write_bytes(body)
    assert [list(line) for line in read_files(readers(reader), paths)] == [["error"]] * len(cases)


@pytest.mark.parametrize("reader", READERS)
def test_live_publisher(readers, reader):
    command = readers(reader, has_zeromq=True) if reader == "node" else readers(reader)
    message = replace(make_message(*golden.FULL.objects), prompts=golden.FULL.prompts)
    publisher = Publisher("tcp://127.0.0.1:0")
    with (
        contextlib.closing(publisher),
        subprocess.Popen([*command, publisher.endpoint, "3"], stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        wait_until(lambda: publisher.wants_masks("cam0") or process.poll() is not None)
        for index in range(3):
            publisher.publish(replace(message, frame_index=index))
            line = json.loads(process.stdout.readline())
            assert line == summary(replace(message, frame_index=index, epoch=line["epoch"], seq=index))
    assert process.returncode == 0
