import errno
import os
from pathlib import Path

import pytest

from streamseg.runtime.line_file import LineFile
from tests.support.limits import limited_file_size


def test_lines_can_be_read_while_the_file_grows(tmp_path: Path):
    path = tmp_path / "lines"
    path.write_text("an earlier run\n")
    with LineFile(path) as file:
        assert file.is_seekable
        file.write(b"a\n")
        file.write(b"b\n")
        assert path.read_text() == "a\nb\n"


def test_error_leaves_whole_lines_and_the_next_line_follows(tmp_path: Path):
    path = tmp_path / "lines"
    with limited_file_size(1000), LineFile(path) as file:
        file.write(b"x" * 990 + b"\n")
        with pytest.raises(OSError, match="File too large") as caught:  # the first bytes fit, the rest does not
            file.write(b"y" * 50 + b"\n")
        file.write(b"z\n")
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes().splitlines() == [b"x" * 990, b"z"]


def test_pipe_is_not_seekable(tmp_path: Path):
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with LineFile(pipe) as file:
        assert not file.is_seekable
        file.write(b"a\n")
        assert os.read(reader, 100) == b"a\n"
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            file.write(b"b\n")
