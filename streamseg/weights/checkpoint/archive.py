"""The container of a checkpoint: a zip archive with uncompressed entries.

The format is PKWARE's APPNOTE 6.3, restricted to what torch writes: one disk, no compression, no encryption, no
comment, fewer than 65535 entries and less than 4 GiB. Because entries are uncompressed and must not overlap, their
total size cannot exceed the size of the file.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from streamseg.resources import Resource
from streamseg.weights.checkpoint.errors import DAMAGED, checkpoint_error, quoted

__all__ = ["Archive", "Entry"]

_END = struct.Struct("<4s4H2IH")
_LONG_END = struct.Struct("<4sQ4x2I4Q4sIQI")
"""The zip64 end record and its locator, which torch writes before the end record of every archive."""
_CENTRAL = struct.Struct("<4s4x2H4x3I4H6xI")
_LOCAL = struct.Struct("<4s2x2H16x2H")

_ENCRYPTED = 0x0001
_KNOWN_FLAGS = 0x0808
"""Data descriptor after the contents, and names in UTF-8; torch sets both flags."""

_DESCRIPTOR_SIZES = (0, 12, 16, 20, 24)
"""Size of the data descriptor between an entry and the next header: none, or a checksum and two sizes, with or
without a signature."""

_MAX_ENTRIES = 20_000
_MAX_NAME_LENGTH = 512

_USE_TORCH_SAVE = "torch.save does not write such entries; save the checkpoint again with it"


@dataclass(frozen=True)
class Entry:
    """One file of the archive."""

    name: str
    """Name relative to the archive's only folder."""
    start: int
    """Offset of the contents in the file, bytes."""
    size: int
    """Size of the contents, bytes."""
    checksum: int
    """CRC-32 of the contents."""


class Archive(Resource):
    """A zip archive whose entries are found by their names relative to its folder, and read one at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file and validate its directory. Contents are read and their checksums verified on demand.

        Raises:
            WeightsError: it is not an archive as written by torch.
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
        """Close the file; `entries` remain available."""
        self._file.close()

    def read(self, entry: Entry) -> bytearray:
        """Read the contents of an entry.

        Raises:
            WeightsError: the file is truncated, or the checksum does not match.
        """
        contents = bytearray(entry.size)
        self._file.seek(entry.start)
        if self._file.readinto(contents) != entry.size:
            raise checkpoint_error(f"the file ends within {quoted(entry.name)}")
        if zlib.crc32(contents) != entry.checksum:
            raise checkpoint_error(f"the contents of {quoted(entry.name)} do not match their checksum")
        return contents

    def _at(self, start: int, size: int, what: str) -> bytes:
        if start < 0 or start + size > self._size:
            raise checkpoint_error(f"the archive's {what} is outside the file")
        self._file.seek(start)
        found = self._file.read(size)
        if len(found) != size:
            raise checkpoint_error(f"the file ends within the archive's {what}")
        return found

    def _read_directory(self) -> dict[str, Entry]:
        start = self._check_signature()
        signature, disk, first_disk, here, total, size, offset, comment = _END.unpack(self._at(start, _END.size, "end"))
        if signature != b"PK\x05\x06" or comment:
            raise checkpoint_error("the archive is truncated or followed by other data")
        if 0xFFFF in (here, total) or 0xFFFFFFFF in (size, offset):
            raise checkpoint_error(
                "the archive is in zip64 format (over 4 GiB)", "save only the model, without the optimizer"
            )
        if disk or first_disk or here != total or not 0 < total <= _MAX_ENTRIES:
            raise checkpoint_error(
                f"the archive declares {total} entries on several disks; 1..{_MAX_ENTRIES} on one disk are allowed"
            )
        self._check_long_end(total, size, offset, start)
        found = self._read_entries(self._at(offset, size, "directory"), total, offset)
        folders = {name.partition("/")[0] for name in found}
        if len(folders) != 1:
            raise checkpoint_error(f"the archive has {len(folders)} folders, but torch writes one", _USE_TORCH_SAVE)
        return {entry.name: entry for entry in found.values()}

    def _check_long_end(self, total: int, size: int, offset: int, end: int) -> None:
        """Check that the zip64 end record, if present, repeats the values of the end record."""
        directory_end = offset + size
        if directory_end == end:
            return
        if directory_end + _LONG_END.size != end:
            raise checkpoint_error("the archive has unexpected data between its directory and its end record")
        found = _LONG_END.unpack(self._at(directory_end, _LONG_END.size, "end"))
        if found != (b"PK\x06\x06", 44, 0, 0, total, total, size, offset, b"PK\x06\x07", 0, directory_end, 1):
            raise checkpoint_error("the archive's two end records differ")

    def _check_signature(self) -> int:
        """Check that the file starts as an archive, and return the offset of its end record."""
        first = self._at(0, min(4, self._size), "start")
        if not first:
            raise checkpoint_error("the file is empty", "download it again from its publisher")
        if first[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
            raise checkpoint_error(
                "the file is a bare pickle, as written by torch before 1.6, which is not supported",
                "load it with the program that wrote it, and save it again with a current torch.save",
            )
        if first != b"PK\x03\x04":
            raise checkpoint_error(
                "the file is not a torch checkpoint: it does not start as a zip archive", "choose another file"
            )
        return self._size - _END.size

    def _read_entries(self, directory: bytes, total: int, end: int) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        spans = []
        position = 0
        for _ in range(total):
            if position + _CENTRAL.size > len(directory):
                raise checkpoint_error("the archive's directory has fewer entries than declared")
            fields = _CENTRAL.unpack_from(directory, position)
            signature, flags, method, checksum, packed, size, name_length, extra, comment, disk, offset = fields
            position += _CENTRAL.size
            raw = directory[position : position + name_length]
            position += name_length + extra + comment
            if signature != b"PK\x01\x02" or disk or position > len(directory):
                raise checkpoint_error("the archive's directory is damaged")
            path = _checked_name(raw)
            _check_uncompressed(path, flags, method, packed, size)
            if path in found:
                raise checkpoint_error(f"the archive has two entries named {quoted(path)}")
            start = self._contents_start(offset, raw, path, flags)
            found[path] = Entry(path.partition("/")[2], start, size, checksum)
            spans.append((offset, start + size, path))
        if position != len(directory):
            raise checkpoint_error("the archive's directory has more entries than declared")
        _check_spans(spans, end)
        return found

    def _contents_start(self, offset: int, raw: bytes, path: str, flags: int) -> int:
        """Return the offset of the contents. The local header, which other readers use, must match the directory."""
        header = self._at(offset, _LOCAL.size, f"entry {quoted(path)}")
        signature, own_flags, method, name_length, extra = _LOCAL.unpack(header)
        own_name = self._at(offset + _LOCAL.size, name_length, f"entry {quoted(path)}")
        if signature != b"PK\x03\x04" or method or own_flags != flags or own_name != raw:
            raise checkpoint_error(f"the archive's directory and the header of its entry {quoted(path)} differ")
        return offset + _LOCAL.size + int(name_length) + int(extra)


def _checked_name(raw: bytes) -> str:
    try:
        path = raw.decode()
    except UnicodeDecodeError:
        raise checkpoint_error("the archive has an entry whose name is not valid UTF-8") from None
    parts = path.split("/")
    if len(path) > _MAX_NAME_LENGTH or not path.isprintable() or "\\" in path or ":" in path:
        raise checkpoint_error(f"the archive has an entry with the unsupported name {quoted(path)}", _USE_TORCH_SAVE)
    if len(parts) < 2 or any(part in ("", ".", "..") for part in parts):
        raise checkpoint_error(f"the archive has an entry at the unexpected path {quoted(path)}", _USE_TORCH_SAVE)
    return path


def _check_uncompressed(path: str, flags: int, method: int, packed: int, size: int) -> None:
    if flags & _ENCRYPTED:
        raise checkpoint_error(f"entry {quoted(path)} of the archive is encrypted", "decrypt the checkpoint first")
    if method or packed != size:
        raise checkpoint_error(f"entry {quoted(path)} of the archive is compressed", _USE_TORCH_SAVE)
    if flags & ~_KNOWN_FLAGS:
        raise checkpoint_error(
            f"entry {quoted(path)} of the archive has the unknown flags {flags:#06x}", _USE_TORCH_SAVE
        )


def _check_spans(spans: list[tuple[int, int, str]], end: int) -> None:
    """Check that entries follow each other without overlaps and gaps, except for data descriptors."""
    previous_end, previous = 0, ""
    for offset, contents_end, path in [*sorted(spans), (end, end, "directory")]:
        gap = offset - previous_end
        if gap < 0:
            raise checkpoint_error(f"entries {quoted(previous)} and {quoted(path)} of the archive overlap")
        if gap not in (_DESCRIPTOR_SIZES if previous else (0,)):
            raise checkpoint_error(f"the archive has {gap} unexpected bytes before {quoted(path)}", DAMAGED)
        previous_end, previous = contents_end, path
