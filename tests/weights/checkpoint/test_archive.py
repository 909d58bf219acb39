import os
import re
import struct
import zipfile

import pytest

from streamseg.errors import WeightsError
from streamseg.weights.checkpoint import read_checkpoint
from streamseg.weights.checkpoint.archive import Archive
from tests.support.hostile import archive, program, zipped

GOOD = archive(program(b"N"), {"0": b"12345678"})


def saved(tmp_path, contents):
    path = tmp_path / "a.pt"
    path.write_bytes(contents)
    return path


def rejection(path):
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.isprintable()
    return message


def test_entries_are_named_relative_to_the_folder(tmp_path):
    with Archive(saved(tmp_path, GOOD)) as opened:
        assert list(opened.entries) == ["data.pkl", "byteorder", "data/0", "version"]
        assert bytes(opened.read(opened.entries["data/0"])) == b"12345678"


def directory_offset(contents):
    return struct.unpack_from("<I", contents, len(contents) - 6)[0]


def patched(contents, position, values):
    return contents[:position] + values + contents[position + len(values) :]


def in_directory(field, values):
    """Change a field of the first directory entry."""
    return patched(GOOD, directory_offset(GOOD) + field, values)


def in_end(field, values):
    return patched(GOOD, len(GOOD) - 22 + field, values)


def without_gap_between_directories():
    start = directory_offset(GOOD)
    moved = GOOD[:start] + b"gap" + GOOD[start:]
    return moved[:-6] + struct.pack("<I", start + 3) + moved[-2:]


def entry(path, contents=b"x"):
    return zipped([("archive/data.pkl", program(b"N")), (path, contents)])


PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
USE_TORCH_SAVE = "torch.save does not write such entries"
CASES = {
    "empty": (b"", "the file is empty"),
    "one-byte": (b"P", "does not start as a zip archive"),
    "text": (b"These are not the weights that you are looking for.\n" * 10, "does not start as a zip archive"),
    "png": (PNG, "does not start as a zip archive"),
    "zip-after-other-data": (b"#!/bin/sh\n" + GOOD, "does not start as a zip archive"),
    "bare-pickle": (program(b"N"), "a bare pickle, as written by torch before 1.6, which is not supported"),
    "legacy-torch": (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "a bare pickle"),
    "start-only": (GOOD[:4], "end is outside the file"),
    "half": (GOOD[: len(GOOD) // 2], "truncated"),
    "one-byte-missing": (GOOD[:-1], "truncated"),
    "one-byte-too-many": (GOOD + b"\0", "truncated or followed by other data"),
    "comment": (GOOD[:-2] + b"\x02\x00hi", "truncated or followed by other data"),
    "no-entries": (zipped([]), "does not start as a zip archive"),
    "several-disks": (in_end(4, b"\x01\x00"), "on several disks"),
    "zip64": (in_end(10, b"\xff\xff"), "in zip64 format"),
    "too-few-entries": (in_end(8, b"\x03\x00\x03\x00"), "has more entries than declared"),
    "too-many-entries": (in_end(8, b"\x07\x00\x07\x00"), "has fewer entries than declared"),
    "directory-elsewhere": (in_end(16, b"\x00\x00\x00\x01"), "between its directory and its end record"),
    "gap-before-the-directory": (without_gap_between_directories(), "3 unexpected bytes before 'directory"),
    "damaged-directory": (in_directory(0, b"XX"), "directory is damaged"),
    "encrypted": (in_directory(8, b"\x01\x00"), "is encrypted; decrypt the checkpoint first"),
    "unknown-flags": (in_directory(8, b"\x20\x00"), "has the unknown flags"),
    "header-differs": (in_directory(8, b"\x08\x00"), "the header of its entry .* differ"),
    "compressed-by-the-directory": (in_directory(10, b"\x08\x00"), f"is compressed; {USE_TORCH_SAVE}"),
    "sizes-differ": (in_directory(20, b"\xff\xff\xff\x00"), "is compressed"),
    "overlap": (in_directory(20, struct.pack("<II", 2**31, 2**31)), "overlap"),
    "smaller-size": (in_directory(20, struct.pack("<II", 1, 1)), "unexpected bytes before"),
    "wrong-checksum": (in_directory(16, b"\0\0\0\0"), "do not match their checksum"),
    "header-of-another-entry": (
        in_directory(42, struct.pack("<I", GOOD.index(b"PK\x03\x04", 4))),
        "the header of its entry .* differ",
    ),
    "offset-outside": (in_directory(42, b"\xff\xff\xff\x7f"), "is outside the file"),
    "bomb": (
        zipped([("archive/data.pkl", bytes(50_000_000))], method=zipfile.ZIP_DEFLATED),
        f"'archive/data.pkl' of the archive is compressed; {USE_TORCH_SAVE}",
    ),
    "bzip2": (zipped([("archive/data.pkl", b"a" * 99)], method=zipfile.ZIP_BZIP2), "is compressed"),
    "path-up": (entry("archive/../../evil"), f"an entry at the unexpected path 'archive/../../evil'; {USE_TORCH_SAVE}"),
    "path-absolute": (entry("/etc/passwd"), "an entry at the unexpected path '/etc/passwd'"),
    "path-dot": (entry("archive/./data/0"), "an entry at the unexpected path"),
    "path-of-windows": (entry("archive/data/..\\..\\evil"), "the unsupported name|an entry at"),
    "path-with-a-drive": (entry("archive/c:evil"), "the unsupported name"),
    "path-with-a-line-break": (entry("archive/a\nb"), "the unsupported name"),
    "path-without-a-folder": (entry("data.pkl"), "an entry at the unexpected path 'data.pkl'"),
    "folder": (entry("archive/data/", b""), "an entry at the unexpected path 'archive/data/'"),
    "long-name": (entry("archive/" + "a" * 600), "the unsupported name"),
    "two-folders": (entry("other/data.pkl"), "has 2 folders, but torch writes one"),
    "pickle-deeper": (entry("archive/inner/data.pkl"), "an entry 'inner/data.pkl', which torch does not write"),
    "unknown-entry": (entry("archive/setup.py"), "an entry 'setup.py', which torch does not write"),
    "torchscript": (entry("archive/code/__torch__.py"), "a TorchScript program, which is not supported"),
    "torchscript-constants": (entry("archive/constants.pkl"), "a TorchScript program"),
    "no-pickle": (zipped([("archive/version", b"3")]), "the archive has no data.pkl"),
    "byte-order": (zipped([("a/data.pkl", program(b"N")), ("a/byteorder", b"middle")]), "has no valid byte order"),
    "long-byte-order": (
        zipped([("a/data.pkl", program(b"N")), ("a/byteorder", b"l" * 999)]),
        "has no valid byte order",
    ),
    "unreferenced-storage": (GOOD, "a storage '0' that the checkpoint does not refer to"),
    "nothing": (archive(program(b"N")), "contains neither a network nor a state dict"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_damaged_or_hostile_archive_is_rejected(case, tmp_path):
    contents, expected = CASES[case]
    message = rejection(saved(tmp_path, contents))
    assert re.search(expected, message), message


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_with_one_name_are_rejected(tmp_path):
    contents = zipped([("archive/data.pkl", program(b"N")), ("archive/data.pkl", program(b"]"))])
    assert "has two entries named 'archive/data.pkl'" in rejection(saved(tmp_path, contents))


@pytest.mark.parametrize("length", range(0, len(GOOD), 7))
def test_truncated_file_is_rejected(length, tmp_path):
    rejection(saved(tmp_path, GOOD[:length]))


def test_path_that_is_not_a_file_is_rejected(tmp_path):
    loop = tmp_path / "loop.pt"
    loop.symlink_to(loop)
    (tmp_path / "folder.pt").mkdir()
    pipe = tmp_path / "pipe.pt"
    os.mkfifo(pipe)
    for path in (tmp_path / "missing.pt", loop, tmp_path / "folder.pt", pipe):
        assert "there is no such file" in rejection(path)


def test_symlink_is_followed(tmp_path):
    link = tmp_path / "link.pt"
    link.symlink_to(saved(tmp_path, archive(program(b"N"))))
    assert "contains neither a network nor a state dict" in rejection(link)


def test_file_changed_after_reading_its_directory_is_rejected(tmp_path):
    contents = archive(program(b"N"), {"0": b"1" * 100_000})
    path = saved(tmp_path, contents)
    with Archive(path) as opened:
        path.write_bytes(contents.replace(b"1" * 100_000, b"1" * 99_999 + b"2"))
        with pytest.raises(WeightsError, match="do not match their checksum"):
            opened.read(opened.entries["data/0"])
        path.write_bytes(contents[:50_000])
        with pytest.raises(WeightsError, match="the file ends within 'data/0'"):
            opened.read(opened.entries["data/0"])
