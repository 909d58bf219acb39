"""Folders and subfolders."""

from pathlib import Path

import pytest

from streamseg.datasets.walk import folders_below
from streamseg.errors import DataError


def listed(folder: Path) -> list[str]:
    return [str((Path(inner) / name).relative_to(folder)) for inner, names in folders_below(folder) for name in names]


def test_files_come_by_name_folder_by_folder(tmp_path):
    for name in ("b/2", "b/1", "a/c/3", "z", "k"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert listed(tmp_path) == ["k", "z", "a/c/3", "b/1", "b/2"]


def test_linked_folders_are_listed_once_also_in_circles(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "1").touch()
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "other").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "self").symlink_to(tmp_path)
    assert listed(tmp_path) == ["a/b/1"]


def test_a_linked_folder_elsewhere_is_followed(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1").touch()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    assert listed(tmp_path / "data") == ["link/1"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"cannot list .*nothing"):
        listed(tmp_path / "nothing")
