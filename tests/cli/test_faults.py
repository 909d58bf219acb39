"""Exceptions as one line: each known kind, secrets, and the command line around them."""

import errno
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
import pydantic
import pytest
import yaml
import zmq
from PIL import Image, UnidentifiedImageError
from safetensors import SafetensorError

from streamseg.cli import check_config
from streamseg.cli import main as module
from streamseg.cli.faults import explain, report_line
from streamseg.errors import ConfigError


def raised(action: Callable[[], object]) -> Exception:
    """Return the exception of an action."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any kind
        action()
    return caught.value


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(ConfigError("conf: 2\niou: 3"), "conf: 2\niou: 3", id="ours, as it is"),
        pytest.param(FileNotFoundError(2, "No such file or directory", "a.yaml"), "use a.yaml: No such", id="file"),
        pytest.param(IsADirectoryError(21, "Is a directory", b"a"), "cannot use a: Is a directory", id="bytes"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), "No space left on device", id="no file name"),
        pytest.param(UnidentifiedImageError("cannot identify a.png"), "cannot identify a.png", id="pillow"),
        pytest.param(Image.DecompressionBombError("exceeds limit"), "Pillow reports: exceeds", id="huge image"),
        pytest.param(raised(lambda: json.loads("{")), "not JSON", id="json"),
        pytest.param(raised(lambda: yaml.safe_load("[")), "YAML reports", id="yaml"),
        pytest.param(raised(lambda: b"\xff".decode()), "not UTF-8", id="encoding"),
        pytest.param(raised(lambda: struct.unpack("<I", b"")), "damaged or incomplete", id="struct"),
        pytest.param(zipfile.BadZipFile("File is not a zip file"), "damaged or incomplete", id="zip"),
        pytest.param(raised(lambda: zlib.decompress(b"x")), "damaged or incomplete", id="zlib"),
        pytest.param(EOFError(), "damaged or incomplete: EOFError", id="end of file"),
        pytest.param(raised(lambda: cv2.resize(np.zeros((0, 0, 3), np.uint8), (3, 3))), "OpenCV reports", id="opencv"),
        pytest.param(raised(lambda: av.open("/none.mp4")), "FFmpeg reports: .*No such file", id="ffmpeg"),
        pytest.param(av.error.PatchWelcomeError(1, "Not yet implemented"), "Not yet implemented", id="ffmpeg limit"),
        pytest.param(SafetensorError("header too large"), "safetensors reports: header too large", id="safetensors"),
        pytest.param(zmq.ZMQError(errno.EADDRINUSE), "ZeroMQ reports: Address already in use", id="zeromq"),
        pytest.param(
            raised(lambda: pydantic.TypeAdapter(int).validate_python("x")), "a value is invalid", id="pydantic"
        ),
        pytest.param(raised(Path("a\0b").stat), "null character", id="null character"),
        pytest.param(MemoryError(), "memory is not sufficient", id="memory"),
        pytest.param(
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "memory is not sufficient",
            id="memory of torch",
        ),
        pytest.param(RecursionError("maximum recursion depth exceeded"), "nested too deeply", id="recursion"),
    ],
)
def test_known_kinds(error: Exception, text: str):
    message = explain(error)
    assert message is not None
    assert len(message.splitlines()) == len(text.splitlines())
    assert re.search(text, message)


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("x"), TypeError("x")])
def test_faults_of_the_program_are_not_explained(error: Exception):
    assert explain(error) is None


@pytest.mark.slow
def test_secrets_and_length():
    message = explain(OSError(5, "Input/output error", "rtsp://admin:secret@10.0.0.5/h264"))
    assert message == "cannot use rtsp://***@10.0.0.5/h264: Input/output error; check the path and its permissions"
    message = explain(raised(lambda: av.open("rtsp://admin:secret#1@127.0.0.1:1/h264")))
    assert message is not None
    assert "secret" not in message
    message = explain(json.JSONDecodeError("bad\nvalue\x1b[31m" + "x" * 10_000, "", 0))
    assert message is not None
    assert len(message) < 400
    assert message.isprintable()


def test_report_names_the_place():
    line = report_line(raised(lambda: {}["gone"]))
    assert line.startswith("internal error: KeyError at test_faults.py:")
    assert "STREAMSEG_DEBUG=1" in line


# ---- the command line


def commands_that_raise(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `check-config` raise an exception."""

    def add_parser(subparsers) -> None:
        def run(_) -> int:
            raise error

        subparsers.add_parser("check-config").set_defaults(command=run)

    monkeypatch.setattr(check_config, "add_parser", add_parser)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        pytest.param(ConfigError("a mistake"), 2, "streamseg: a mistake", id="ours"),
        pytest.param(PermissionError(13, "Permission denied", "out"), 2, "streamseg: cannot use out", id="system"),
        pytest.param(KeyError("gone"), 1, "streamseg: internal error: KeyError", id="unexpected"),
    ],
)
@pytest.mark.parametrize("debugging", ["no", "flag", "flag after", "variable"])
def test_one_line_and_exit_code(error, code, text, debugging, monkeypatch, capsys):
    monkeypatch.setenv("STREAMSEG_DEBUG", "1" if debugging == "variable" else "0")
    commands_that_raise(error, monkeypatch)
    arguments = ["check-config"]
    if debugging.startswith("flag"):
        arguments.insert(debugging == "flag after", "--traceback")
    assert module.main(arguments) == code
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(text)
    if debugging == "no":
        assert len(lines) == 1
    else:
        assert lines[0] == "Traceback (most recent call last):"


@pytest.mark.slow
def test_output_folder_that_cannot_be_created(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("")
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    assert module.main(["segment", str(tmp_path / "a.png"), "--out", str(tmp_path / "file" / "out")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
