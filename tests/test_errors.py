"""The reason of a failed file operation, and numbers in messages."""

import errno
from pathlib import Path

import pytest

from streamseg.errors import counted, reason_of


def error_of(operation):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - any
        operation()
    return caught.value


@pytest.mark.parametrize("name", ["file", "file/below", "file/below/more"])
def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path, name: str):
    (tmp_path / "file").touch()
    error = error_of(lambda: (tmp_path / name).mkdir(parents=True, exist_ok=True))
    assert reason_of(error) == f"{tmp_path / 'file'} is a file, not a folder"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device", "x"), "No space left on device", id="named"),
        pytest.param(OSError("the library's own words"), "the library's own words", id="without a number"),
        pytest.param(FileExistsError(errno.EEXIST, "File exists"), "File exists", id="without a name"),
        pytest.param(NotADirectoryError(errno.ENOTDIR, "Not a directory", 3), "Not a directory", id="a descriptor"),
        pytest.param(NotADirectoryError(errno.ENOTDIR, "Not a directory", "/"), "Not a directory", id="gone meanwhile"),
    ],
)
def test_other_reasons_are_the_systems(error: OSError, reason: str):
    assert reason_of(error) == reason


@pytest.mark.parametrize(("number", "words"), [(0, "0 frames"), (1, "1 frame"), (2, "2 frames"), (1.0, "1 frame")])
def test_one_thing_is_no_plural(number: float, words: str):
    assert counted(number, "frame") == words
