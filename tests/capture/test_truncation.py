import struct

import pytest

from streamseg.capture.truncation import num_missing_bytes
from tests.support.videos import write_video


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        pytest.param("a.mp4", "libx264", {}, id="mp4, index at the end"),
        pytest.param("a.mp4", "libx264", {"movflags": "faststart"}, id="mp4, index first"),
        pytest.param("a.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}, id="mp4, fragments"),
        pytest.param("a.mov", "mjpeg", {}, id="mov"),
        pytest.param("a.mkv", "libx264", {}, id="matroska"),
        pytest.param("a.webm", "libvpx", {}, id="webm"),
        pytest.param("a.avi", "mpeg4", {}, id="avi"),
    ],
)
def test_complete_and_truncated(tmp_path, name, codec, options):
    path = write_video(tmp_path / name, 12, codec=codec, container_options=options)
    assert num_missing_bytes(path) == 0
    content = path.read_bytes()
    for num_missing in (200, len(content) // 3):
        path.write_bytes(content[:-num_missing])
        # The boxes after the truncated one are not declared anywhere.
        assert 0 < num_missing_bytes(path) <= num_missing


FTYP = struct.pack(">I4s8x", 16, b"ftyp")


@pytest.mark.parametrize(
    ("content", "num_missing"),
    [
        pytest.param(b"", 0, id="empty"),
        pytest.param(b"hello", 0, id="text"),
        pytest.param(FTYP, 0, id="one box"),
        pytest.param(FTYP + struct.pack(">I4s", 100, b"mdat") + bytes(40), 52, id="box truncated"),
        pytest.param(FTYP + struct.pack(">I4sQ", 1, b"mdat", 116) + bytes(90), 10, id="64-bit size, truncated"),
        pytest.param(FTYP + struct.pack(">I4sQ", 1, b"mdat", 116) + bytes(100), 0, id="64-bit size"),
        pytest.param(FTYP + struct.pack(">I4s", 0, b"mdat") + bytes(9), 0, id="extends to the end"),
        pytest.param(FTYP + b"junk\x00\x01\x02\x03junkjunk", 0, id="other data appended"),
        pytest.param(FTYP + b"abc", 0, id="too short for a box"),
        pytest.param(FTYP + struct.pack(">I4s", 5, b"free"), 0, id="impossible size"),
        pytest.param(b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01" + b"\xff" * 7 + bytes(50), 0, id="live matroska"),
        pytest.param(b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x90" + bytes(10), 6, id="matroska truncated"),
        pytest.param(b"\x1a\x45\xdf\xa3\x80\xec\x81\x00\x18\x53\x80\x67\x84" + bytes(4), 0, id="matroska with a void"),
        pytest.param(b"\x1a\x45\xdf\xa3", 0, id="matroska header only"),
        pytest.param(b"RIFF" + struct.pack("<I", 30) + b"AVI " + bytes(10), 16, id="avi truncated"),
        pytest.param(b"RIFF" + struct.pack("<I", 0) + b"AVI " + bytes(10), 0, id="avi never finished"),
        pytest.param((b"RIFF" + struct.pack("<I", 5) + b"AVI x\0") * 2, 0, id="avi in two chunks, odd sizes"),
    ],
)
def test_structure(tmp_path, content, num_missing):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert num_missing_bytes(path) == num_missing
