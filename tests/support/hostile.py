"""Build checkpoint files from single opcodes, including files that no program would write."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Mapping

START = b"\x80\x02"
STOP = b"."


def program(*parts: bytes) -> bytes:
    """Return a complete pickle of protocol 2."""
    return START + b"".join(parts) + STOP


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def sequence(*parts: bytes) -> bytes:
    """Return the opcodes of a tuple."""
    return b"(" + b"".join(parts) + b"t"


def integers(values: Iterable[int]) -> bytes:
    return sequence(*(integer(value) for value in values))


def call(called: bytes, *arguments: bytes) -> bytes:
    return called + sequence(*arguments) + b"R"


def entries(contents: Mapping[str, bytes]) -> bytes:
    """Return the opcodes of a dict."""
    return b"}(" + b"".join(text(key) + value for key, value in contents.items()) + b"u"


def instance(module: str, kind: str, state: Mapping[str, bytes]) -> bytes:
    """Return the opcodes of an instance with attributes."""
    return name(module, kind) + b")\x81" + entries(state) + b"b"


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    return sequence(text("storage"), name("torch", kind), text(key), text("cpu"), integer(count)) + b"Q"


def tensor(
    shape: Iterable[int],
    stride: Iterable[int],
    *,
    offset: int = 0,
    key: str = "0",
    count: int = 6,
    kind: str = "FloatStorage",
) -> bytes:
    hooks = name("collections", "OrderedDict") + b")R"
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        storage(key, count, kind),
        integer(offset),
        integers(shape),
        integers(stride),
        b"\x89",
        hooks,
    )


def archive(
    pickled: bytes, storages: Mapping[str, bytes] | None = None, *, others: Iterable[tuple[str, bytes]] = ()
) -> bytes:
    """Return a zip archive as written by torch, with a pickle and storages by key."""
    return zipped(
        [
            ("archive/data.pkl", pickled),
            ("archive/byteorder", b"little"),
            *((f"archive/data/{key}", contents) for key, contents in (storages or {}).items()),
            ("archive/version", b"3\n"),
            *others,
        ]
    )


def zipped(files: Iterable[tuple[str, bytes]], *, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as output:
        for path, contents in files:
            output.writestr(zipfile.ZipInfo(path), contents, compress_type=method)
    return stream.getvalue()
