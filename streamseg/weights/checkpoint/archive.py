"""The container of a checkpoint: a zip archive whose entries are stored as they are.

The format is PKWARE's APPNOTE 6.3; of it, only what torch writes is read: one disk, no compression, no
encryption, no comment, fewer than 65535 entries and 4 GiB. What is stored takes its own size and no more, so
there is nothing that could unpack to a giant, and entries that share bytes are refused.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from streamseg.resources import Resource
from streamseg.weights.checkpoint.refusal import AGAIN, quoted, refuse

__all__ = ["Archive", "Entry"]

_END = struct.Struct("<4s4H2IH")
_LONG_END = struct.Struct("<4sQ4x2I4Q4sIQI")
"""The end record and its locator of zip64, which torch writes before the end of every archive."""
_CENTRAL = struct.Struct("<4s4x2H4x3I4H6xI")
_LOCAL = struct.Struct("<4s2x2H16x2H")

_ENCRYPTED = 0x0001
_KNOWN_FLAGS = 0x0808
"""Sizes repeated after the contents, and names in UTF-8; torch sets both."""

_DESCRIPTOR_SIZES = (0, 12, 16, 20, 24)
"""Between an entry's contents and the next header: nothing, or checksum and two sizes, with or without mark."""

_MOST_ENTRIES = 20_000
_LONGEST_NAME = 512

_AS_TORCH_DOES = "torch.save writes none of these: save the checkpoint again with it"


@dataclass(frozen=True)
class Entry:
    """One file of the archive."""

    name: str
    """Below the archive's one folder."""
    start: int
    """Of the contents, in the file."""
    size: int
    checksum: int


class Archive(Resource):
    """The entries of a zip archive, by their names below its folder; read one at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file and check its directory; contents are read, and their checksums checked, on demand.

        Raises:
            WeightsError: it is no archive as torch writes them.
            OSError: it cannot be read.
        """
        self._file = path.open("rb")
        try:
            self._size = self._file.seek(0, 2)
            self.entries = self._read_directory()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file; the entries stay known."""
        self._file.close()

    def read(self, entry: Entry) -> bytearray:
        """The contents of an entry.

        Raises:
            WeightsError: the file ends before they do, or their checksum is another one.
        """
        contents = bytearray(entry.size)
        self._file.seek(entry.start)
        if self._file.readinto(contents) != entry.size:
            raise refuse(f"the file ends within {quoted(entry.name)}")
        if zlib.crc32(contents) != entry.checksum:
            raise refuse(f"the contents of {quoted(entry.name)} do not have the checksum that the archive gives")
        return contents

    def _at(self, start: int, size: int, what: str) -> bytes:
        if start < 0 or start + size > self._size:
            raise refuse(f"the archive's {what} lies outside the file")
        self._file.seek(start)
        found = self._file.read(size)
        if len(found) != size:
            raise refuse(f"the file ends within the archive's {what}")
        return found

    def _read_directory(self) -> dict[str, Entry]:
        start = self._check_first_bytes()
        mark, disk, first_disk, here, total, size, offset, comment = _END.unpack(self._at(start, _END.size, "end"))
        if mark != b"PK\x05\x06" or comment:
            raise refuse("the archive is cut off, or something follows it")
        if 0xFFFF in (here, total) or 0xFFFFFFFF in (size, offset):
            raise refuse("the archive is a zip64 one (over 4 GiB)", "save the model alone, without the optimizer")
        if disk or first_disk or here != total or not 0 < total <= _MOST_ENTRIES:
            raise refuse(
                f"the archive says it has {total} entries on several disks; 1..{_MOST_ENTRIES} on one are read"
            )
        self._check_long_end(total, size, offset, start)
        found = self._read_entries(self._at(offset, size, "directory"), total, offset)
        folders = {name.partition("/")[0] for name in found}
        if len(folders) != 1:
            raise refuse(f"the archive has {len(folders)} folders where torch writes one", _AS_TORCH_DOES)
        return {entry.name: entry for entry in found.values()}

    def _check_long_end(self, total: int, size: int, offset: int, end: int) -> None:
        """Between the directory and its end: nothing, or the same numbers once more, in 64 bits."""
        directory_end = offset + size
        if directory_end == end:
            return
        if directory_end + _LONG_END.size != end:
            raise refuse("something lies between the archive's directory and its end")
        found = _LONG_END.unpack(self._at(directory_end, _LONG_END.size, "end"))
        if found != (b"PK\x06\x06", 44, 0, 0, total, total, size, offset, b"PK\x06\x07", 0, directory_end, 1):
            raise refuse("the archive's two end records differ")

    def _check_first_bytes(self) -> int:
        """Where the end record begins, in a file that begins as an archive does."""
        first = self._at(0, min(4, self._size), "start")
        if not first:
            raise refuse("the file is empty", "get it again from where it is published")
        if first[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
            raise refuse(
                "the file is a bare pickle, as torch before 1.6 wrote checkpoints; those are not read",
                "load it with the program it is from and torch.save it again",
            )
        if first != b"PK\x03\x04":
            raise refuse("the file is no torch checkpoint: it does not begin as a zip archive", "give another file")
        return self._size - _END.size

    def _read_entries(self, directory: bytes, total: int, end: int) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        places = []
        position = 0
        for _ in range(total):
            if position + _CENTRAL.size > len(directory):
                raise refuse("the archive's directory has fewer entries than it says")
            fields = _CENTRAL.unpack_from(directory, position)
            mark, flags, method, checksum, packed, size, name_length, extra, comment, disk, offset = fields
            position += _CENTRAL.size
            raw = directory[position : position + name_length]
            position += name_length + extra + comment
            if mark != b"PK\x01\x02" or disk or position > len(directory):
                raise refuse("the archive's directory is damaged")
            path = _checked_name(raw)
            _check_storing(path, flags, method, packed, size)
            if path in found:
                raise refuse(f"the archive has two entries named {quoted(path)}")
            start = self._contents_start(offset, raw, path, flags)
            found[path] = Entry(path.partition("/")[2], start, size, checksum)
            places.append((offset, start + size, path))
        if position != len(directory):
            raise refuse("the archive's directory has more entries than it says")
        _check_places(places, end)
        return found

    def _contents_start(self, offset: int, raw: bytes, path: str, flags: int) -> int:
        """The entry's own header has to agree with the directory's: other readers would believe it."""
        header = self._at(offset, _LOCAL.size, f"entry {quoted(path)}")
        mark, own_flags, method, name_length, extra = _LOCAL.unpack(header)
        own_name = self._at(offset + _LOCAL.size, name_length, f"entry {quoted(path)}")
        if mark != b"PK\x03\x04" or method or own_flags != flags or own_name != raw:
            raise refuse(f"the archive's directory and the header of its entry {quoted(path)} differ")
        return offset + _LOCAL.size + int(name_length) + int(extra)


def _checked_name(raw: bytes) -> str:
    try:
        path = raw.decode()
    except UnicodeDecodeError:
        raise refuse("the archive has an entry whose name is no text") from None
    parts = path.split("/")
    if len(path) > _LONGEST_NAME or not path.isprintable() or "\\" in path or ":" in path:
        raise refuse(f"the archive has an entry with the unusual name {quoted(path)}", _AS_TORCH_DOES)
    if len(parts) < 2 or any(part in ("", ".", "..") for part in parts):
        raise refuse(f"the archive has an entry at {quoted(path)}, where torch writes none", _AS_TORCH_DOES)
    return path


def _check_storing(path: str, flags: int, method: int, packed: int, size: int) -> None:
    if flags & _ENCRYPTED:
        raise refuse(f"entry {quoted(path)} of the archive is encrypted", "decrypt the checkpoint first")
    if method or packed != size:
        raise refuse(f"entry {quoted(path)} of the archive is compressed", _AS_TORCH_DOES)
    if flags & ~_KNOWN_FLAGS:
        raise refuse(f"entry {quoted(path)} of the archive has the unknown flags {flags:#06x}", _AS_TORCH_DOES)


def _check_places(places: list[tuple[int, int, str]], end: int) -> None:
    """Entries follow each other without sharing bytes and without anything between them."""
    previous_end, previous = 0, ""
    for offset, contents_end, path in [*sorted(places), (end, end, "directory")]:
        gap = offset - previous_end
        if gap < 0:
            raise refuse(f"entries {quoted(previous)} and {quoted(path)} of the archive share bytes")
        if gap not in (_DESCRIPTOR_SIZES if previous else (0,)):
            raise refuse(f"{gap} unknown bytes lie in the archive before {quoted(path)}", AGAIN)
        previous_end, previous = contents_end, path
