from pathlib import Path

import pytest

from streamseg.drawing.partial_file import PartialFile


def test_name_is_unique_until_the_commit(tmp_path: Path):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"earlier")
    first, second = PartialFile(path), PartialFile(path)
    assert first.partial_path != second.partial_path
    assert all(file.partial_path.match("out.partial-????????.mp4") for file in (first, second))
    first.write(b"first")
    assert path.read_bytes() == b"earlier"
    first.commit()
    assert path.read_bytes() == b"first"
    second.discard()
    second.discard()
    assert list(tmp_path.iterdir()) == [path]


def test_frozen_file_ends_where_it_was_complete(tmp_path: Path):
    file = PartialFile(tmp_path / "out.mp4")
    file.write(b"header, ")
    file.mark()
    assert not file.has_grown
    file.write(b"complete")
    file.mark()
    file.write(b" and not")
    file.freeze()
    assert file.write(b"ignored") == 7
    assert file.has_grown
    file.commit()
    assert (tmp_path / "out.mp4").read_bytes() == b"header, complete"


def test_folder_must_exist(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        PartialFile(tmp_path / "missing" / "out.mp4")
