"""File formats, recognised by the signature at the start of a file. The suffix has no influence."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

__all__ = ["HEAD_BYTES", "FileFormat", "file_format", "format_of"]

HEAD_BYTES = 1024
"""Number of bytes from the start of a file that decide its format."""


class FileFormat(NamedTuple):
    """One format."""

    name: str
    """Name for messages, e.g. "JPEG XL"."""
    kind: Literal["image", "unreadable image", "video", "other"]
    """image: `load_image` reads it; unreadable image: no installed library reads it."""
    decoder: str = ""
    """Pillow's name of the format, or "opencv"; for images only."""


_JPEG_2000 = FileFormat("JPEG 2000", "image", "JPEG2000")
_SIGNATURES: tuple[tuple[int, bytes, FileFormat], ...] = (
    (0, b"\xff\xd8\xff", FileFormat("JPEG", "image", "JPEG")),
    (0, b"\x89PNG\r\n\x1a\n", FileFormat("PNG", "image", "PNG")),
    (0, b"GIF87a", FileFormat("GIF", "image", "GIF")),
    (0, b"GIF89a", FileFormat("GIF", "image", "GIF")),
    (8, b"WEBP", FileFormat("WebP", "image", "WEBP")),
    (8, b"CR\x02\x00", FileFormat("CR2 (camera raw)", "unreadable image")),
    (0, b"II*\x00", FileFormat("TIFF", "image", "TIFF")),
    (0, b"MM\x00*", FileFormat("TIFF", "image", "TIFF")),
    (0, b"II+\x00", FileFormat("TIFF", "image", "TIFF")),
    (0, b"MM\x00+", FileFormat("TIFF", "image", "TIFF")),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", _JPEG_2000),
    (0, b"\xff\x4f\xff\x51", _JPEG_2000),
    (0, b"8BPS", FileFormat("Photoshop", "image", "PSD")),
    (0, b"qoif", FileFormat("QOI", "image", "QOI")),
    (0, b"DDS ", FileFormat("DDS", "image", "DDS")),
    (0, b"\x59\xa6\x6a\x95", FileFormat("Sun raster", "image", "SUN")),
    (0, b"#?RADIANCE", FileFormat("Radiance HDR", "image", "opencv")),
    (0, b"#?RGBE", FileFormat("Radiance HDR", "image", "opencv")),
    (0, b"\xff\x0a", FileFormat("JPEG XL", "unreadable image")),
    (0, b"\x00\x00\x00\x0cJXL ", FileFormat("JPEG XL", "unreadable image")),
    (0, b"\x76\x2f\x31\x01", FileFormat("OpenEXR", "unreadable image")),
    (0, b"FUJIFILMCCD-RAW", FileFormat("RAF (camera raw)", "unreadable image")),
    (0, b"IIRO", FileFormat("ORF (camera raw)", "unreadable image")),
    (0, b"IIU\x00", FileFormat("RW2 (camera raw)", "unreadable image")),
    (128, b"DICM", FileFormat("DICOM", "unreadable image")),
    (0, b"SIMPLE  =", FileFormat("FITS", "unreadable image")),
    (0, b"%PDF", FileFormat("PDF", "other")),
    (0, b"PK\x03\x04", FileFormat("ZIP", "other")),
    (0, b"\x1f\x8b", FileFormat("gzip", "other")),
    (0, b"version https://git-lfs", FileFormat("Git LFS pointer", "other")),
    (0, b"\x00\x05\x16\x07", FileFormat("macOS resource fork", "other")),
    (8, b"AVI ", FileFormat("AVI", "video")),
    (0, b"\x1a\x45\xdf\xa3", FileFormat("Matroska", "video")),
    (0, b"FLV\x01", FileFormat("FLV", "video")),
    (0, b"OggS", FileFormat("Ogg", "video")),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", FileFormat("ASF", "video")),
    (0, b"\x00\x00\x01\xba", FileFormat("MPEG", "video")),
)
_RIFF_FORMATS = frozenset({"WebP", "AVI"})
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})
_TEXT_STARTS = (
    (b"<svg", FileFormat("SVG", "unreadable image")),
    (b"<!doctype html", FileFormat("HTML", "other")),
    (b"<html", FileFormat("HTML", "other")),
)


def file_format(path: Path) -> FileFormat | None:
    """Return the format of a file; None if it is not recognised.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return format_of(file.read(HEAD_BYTES))


def format_of(head: bytes) -> FileFormat | None:
    """Return the format of a file that starts with `head`, `HEAD_BYTES` bytes or less; None if not recognised."""
    for offset, signature, found in _SIGNATURES:
        if head.startswith(signature, offset) and (found.name not in _RIFF_FORMATS or head.startswith(b"RIFF")):
            return found
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return FileFormat("BMP", "image", "BMP")
    if head[:1] == b"P" and head[1:2] in b"123456fF" and head[2:3] in b" \t\r\n" and len(head) > 2:
        return FileFormat("PNM", "image", "PPM" if head[1:2] != b"F" else "opencv")
    if head[:3] == b"P7\n":
        return FileFormat("PAM", "unreadable image")
    if head[:4] == b"\x00\x00\x01\x00" and 0 < int.from_bytes(head[4:6], "little") < 256 and head[9:10] == b"\x00":
        return FileFormat("icon", "image", "ICO")
    if head[:1] == b"\x47" and head[188:189] == b"\x47" and head[376:377] == b"\x47":
        return FileFormat("MPEG-TS", "video")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, found in _TEXT_STARTS:
        if text.startswith(start) or (text.startswith(b"<?xml") and start in text):
            return found
    return None


def _of_brands(head: bytes) -> FileFormat:
    """Return the format of an ISO base media file (ISO 14496-12, 4.3) by its brands, the major one first."""
    box = head[: int.from_bytes(head[:4])]
    major = box[8:12]
    brands = [major, *(box[start : start + 4] for start in range(16, len(box), 4))]
    if major == b"crx ":
        return FileFormat("CR3 (camera raw)", "unreadable image")
    if major in _HEIC_BRANDS or major in (b"avif", b"avis"):
        if b"avif" in brands or b"avis" in brands:
            return FileFormat("AVIF", "image", "AVIF")
        return FileFormat("HEIC", "image", "HEIF")
    return FileFormat("MP4", "video")
