"""The opcodes that torch writes, taken from a pickle one by one.

Not `pickletools.genops`: that one decodes the arguments of every opcode there is, for which it imports codecs.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Iterator

from streamseg.weights.checkpoint.refusal import refuse

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
"""Names, and how the argument is stored: of BINUNICODE and LONG1, the number of bytes that follow."""

_LAYOUTS = {code: struct.Struct(layout) for code, (_, layout) in _OPCODES.items() if layout not in ("", "lines")}

_CUT_OFF = "the checkpoint's pickle is damaged: it ends within a step"


def opcodes(contents: bytes) -> Iterator[tuple[str, object, int]]:
    """Name, argument and position of each step: integers, floats, bytes of strings and long integers, pairs of names.

    Raises:
        WeightsError: the bytes end within a step, or there is another opcode; not even its argument is decoded.
    """
    position = 0
    while position < len(contents):
        start, code = position, contents[position : position + 1]
        position += 1
        if code not in _OPCODES:
            raise refuse(f"the checkpoint's pickle has the opcode {_name(code)}, which torch does not write")
        name, layout = _OPCODES[code]
        argument: object = None
        if layout == "lines":
            argument, position = _lines(contents, position)
        elif layout:
            argument, position = _argument(name, _LAYOUTS[code], contents, position)
        yield name, argument, start
    raise refuse(_CUT_OFF)


def _argument(name: str, layout: struct.Struct, contents: bytes, position: int) -> tuple[object, int]:
    end = position + layout.size
    if end > len(contents):
        raise refuse(_CUT_OFF)
    (number,) = layout.unpack_from(contents, position)
    if name not in ("BINUNICODE", "LONG1"):
        return number, end
    if end + number > len(contents):
        raise refuse(_CUT_OFF)
    return contents[end : end + number], end + number


def _lines(contents: bytes, position: int) -> tuple[tuple[str, str], int]:
    first = contents.find(b"\n", position)
    second = contents.find(b"\n", first + 1)
    if first < 0 or second < 0:
        raise refuse(_CUT_OFF)
    return (contents[position:first].decode("latin-1"), contents[first + 1 : second].decode("latin-1")), second + 1


def _name(code: bytes) -> str:
    return next(
        (known.name for known in pickletools.opcodes if known.code.encode("latin-1") == code), f"0x{code.hex()}"
    )
