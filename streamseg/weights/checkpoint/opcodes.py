"""Split a pickle into opcodes, restricted to those that torch writes.

`pickletools.genops` is not used, because it decodes the arguments of all existing opcodes, and imports codecs to do so.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Iterator

from streamseg.weights.checkpoint.errors import checkpoint_error

__all__ = ["opcodes"]

_OPCODES = {
    b"\x80": ("PROTO", "<B"),
    b".": ("STOP", ""),
    b"c": ("GLOBAL", "lines"),
    b"Q": ("BINPERSID", ""),
    b"R": ("REDUCE", ""),
    b"\x81": ("NEWOBJ", ""),
    b"b": ("BUILD", ""),
    b"(": ("MARK", ""),
    b"q": ("BINPUT", "<B"),
    b"r": ("LONG_BINPUT", "<I"),
    b"h": ("BINGET", "<B"),
    b"j": ("LONG_BINGET", "<I"),
    b"}": ("EMPTY_DICT", ""),
    b"]": ("EMPTY_LIST", ""),
    b")": ("EMPTY_TUPLE", ""),
    b"t": ("TUPLE", ""),
    b"\x85": ("TUPLE1", ""),
    b"\x86": ("TUPLE2", ""),
    b"\x87": ("TUPLE3", ""),
    b"s": ("SETITEM", ""),
    b"u": ("SETITEMS", ""),
    b"a": ("APPEND", ""),
    b"e": ("APPENDS", ""),
    b"N": ("NONE", ""),
    b"\x88": ("NEWTRUE", ""),
    b"\x89": ("NEWFALSE", ""),
    b"J": ("BININT", "<i"),
    b"K": ("BININT1", "<B"),
    b"M": ("BININT2", "<H"),
    b"\x8a": ("LONG1", "<B"),
    b"G": ("BINFLOAT", ">d"),
    b"X": ("BINUNICODE", "<I"),
}
"""Name and argument format per opcode; for BINUNICODE and LONG1, the argument is the number of bytes that follow."""

_STRUCTS = {code: struct.Struct(layout) for code, (_, layout) in _OPCODES.items() if layout not in ("", "lines")}

_TRUNCATED = "the checkpoint's pickle is truncated: it ends within an opcode"


def opcodes(contents: bytes) -> Iterator[tuple[str, object, int]]:
    """Yield name, argument and position of each opcode.

    Arguments are integers, floats, the bytes of strings and long integers, and pairs of names.

    Raises:
        WeightsError: the pickle ends within an opcode, or has another opcode, whose argument is not decoded.
    """
    position = 0
    while position < len(contents):
        start, code = position, contents[position : position + 1]
        position += 1
        if code not in _OPCODES:
            raise checkpoint_error(f"the checkpoint's pickle has the opcode {_name(code)}, which torch does not write")
        name, layout = _OPCODES[code]
        argument: object = None
        if layout == "lines":
            argument, position = _lines(contents, position)
        elif layout:
            argument, position = _argument(name, _STRUCTS[code], contents, position)
        yield name, argument, start
    raise checkpoint_error(_TRUNCATED)


def _argument(name: str, layout: struct.Struct, contents: bytes, position: int) -> tuple[object, int]:
    end = position + layout.size
    if end > len(contents):
        raise checkpoint_error(_TRUNCATED)
    (number,) = layout.unpack_from(contents, position)
    if name not in ("BINUNICODE", "LONG1"):
        return number, end
    if end + number > len(contents):
        raise checkpoint_error(_TRUNCATED)
    return contents[end : end + number], end + number


def _lines(contents: bytes, position: int) -> tuple[tuple[str, str], int]:
    first = contents.find(b"\n", position)
    second = contents.find(b"\n", first + 1)
    if first < 0 or second < 0:
        raise checkpoint_error(_TRUNCATED)
    return (contents[position:first].decode("latin-1"), contents[first + 1 : second].decode("latin-1")), second + 1


def _name(code: bytes) -> str:
    return next(
        (known.name for known in pickletools.opcodes if known.code.encode("latin-1") == code), f"0x{code.hex()}"
    )
