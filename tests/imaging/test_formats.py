"""Signatures of files."""

from __future__ import annotations

import pytest

from streamseg.imaging.formats import format_of


@pytest.mark.parametrize(
    ("head", "name"),
    [
        pytest.param(b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG", id="JFIF"),
        pytest.param(b"RIFF\x10\0\0\0WEBPVP8 ", "WebP", id="WebP"),
        pytest.param(b"RIFF\x10\0\0\0AVI LIST", "AVI", id="AVI"),
        pytest.param(b"12345678AVI LIST", None, id="AVI without RIFF"),
        pytest.param(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "AVIF", id="AVIF"),
        pytest.param(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF", id="AVIF of another major brand"),
        pytest.param(b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "HEIC", id="HEIC of another major brand"),
        pytest.param(b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "MP4", id="QuickTime"),
        pytest.param(b"\0\0\0\x14ftypcrx \0\0\0\x01crx ", "CR3 (camera raw)", id="CR3"),
        pytest.param(b"BM" + bytes(12) + b"\x28\0\0\0", "BMP", id="BMP"),
        pytest.param(b"BMW and other words are text", None, id="text that starts like BMP"),
        pytest.param(b"P5\n3 4\n255\n", "PNM", id="PGM"),
        pytest.param(b"P5", None, id="two letters"),
        pytest.param(b"\x47" + bytes(187) + b"\x47" + bytes(187) + b"\x47", "MPEG-TS", id="MPEG-TS"),
        pytest.param(b"Good morning", None, id="text with the sync byte of MPEG-TS"),
        pytest.param(b'<?xml version="1.0"?>\n<svg xmlns=', "SVG", id="SVG"),
        pytest.param(b"\0\0\x01\0\x01\0\x10\x10\0\0", "icon", id="icon"),
        pytest.param(bytes(1024), None, id="zeros"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_formats(head, name):
    found = format_of(head)
    assert (found.name if found is not None else None) == name
