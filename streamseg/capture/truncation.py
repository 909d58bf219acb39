"""Detection of truncated video files from the sizes that their containers declare.

A demuxer cannot distinguish a truncated recording from a complete one: it reads until the data ends.
MP4/MOV, Matroska/WebM and AVI declare their length in their headers.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

__all__ = ["num_missing_bytes"]

_MP4_FIRST = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip"})
_EBML_HEADER, _EBML_SEGMENT, _EBML_VOID, _EBML_CRC = 0x1A45DFA3, 0x18538067, 0xEC, 0xBF


def num_missing_bytes(path: Path) -> int:
    """Return the minimum number of missing bytes; 0 if the file is complete or declares no length."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        head = _read(file, 0, 12)
        if head[4:8] in _MP4_FIRST:
            end = _mp4_end(file, size)
        elif head[:4] == b"\x1a\x45\xdf\xa3":
            end = _matroska_end(file)
        elif head[:4] == b"RIFF":
            end = _riff_end(file, size)
        else:
            return 0
    return max(end - size, 0)


def _read(file: BinaryIO, position: int, num_bytes: int) -> bytes:
    file.seek(position)
    return file.read(num_bytes)


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Return the end of the last top-level box (ISO 14496-12, 4.2)."""
    position = 0
    while position < size:
        head = _read(file, position, 16)
        if len(head) < 8 or not head[4:8].isalnum():
            return position  # other data was appended
        (length,) = struct.unpack_from(">I", head)
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
        if length == 0:  # extends to the end of the file
            return size
        if length < 8:
            return position
        position += length
    return position


def _matroska_end(file: BinaryIO) -> int:
    """Return the end of the segment (RFC 8794); 0 if its size was never written, as in a live recording."""
    position = 0
    for _ in range(8):
        head = _read(file, position, 12)
        if not head or head[0] == 0:
            return 0
        id_length = 9 - head[0].bit_length()
        identity = int.from_bytes(head[:id_length])
        length = head[id_length : id_length + 1]
        if identity not in (_EBML_HEADER, _EBML_SEGMENT, _EBML_VOID, _EBML_CRC) or not length or length[0] == 0:
            return 0
        num_length_bytes = 9 - length[0].bit_length()
        field = head[id_length : id_length + num_length_bytes]
        value = int.from_bytes(field) & ((1 << (7 * num_length_bytes)) - 1)
        if value == (1 << (7 * num_length_bytes)) - 1:  # all ones: unknown
            return 0
        position += id_length + num_length_bytes + value
        if identity == _EBML_SEGMENT:
            return position
    return 0


def _riff_end(file: BinaryIO, size: int) -> int:
    """Return the end of the last RIFF chunk; large AVI files have several. 0 if its size was never written."""
    position = end = 0
    while position + 12 <= size:
        head = _read(file, position, 8)
        if head[:4] != b"RIFF":
            break
        (length,) = struct.unpack_from("<I", head, 4)
        if length == 0:  # never written
            return 0
        end = position + 8 + length
        position = end + length % 2
    return end
