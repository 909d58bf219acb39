"""The description of a YOLO data set, usually `data.yaml`.

    path: coco8-seg             # folder of the data set; optional
    train: images/train         # a folder, a text file with one image per line, or a list of them
    val: images/val
    test:                       # optional
    names: {0: person, 1: car}  # or a list; or only their number, nc: 2

Other keys are ignored; nothing is downloaded.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from streamseg.config import IMAGE_SUFFIXES
from streamseg.config.yaml_text import parse_yaml
from streamseg.datasets.problems import Problem, Problems
from streamseg.datasets.walk import folders_below
from streamseg.errors import ConfigError, DataError, reason_of
from streamseg.imaging import file_format

__all__ = ["SPLITS", "Split", "YoloDataSet", "find_yolo_yaml", "is_yolo_content", "read_yolo_yaml"]

logger = logging.getLogger(__name__)

Split = Literal["train", "val", "test"]
SPLITS: Final = ("train", "val", "test")
YAML_SUFFIXES: Final = (".yaml", ".yml")
MAX_CLASSES: Final = 100_000


@dataclass(frozen=True)
class YoloDataSet:
    """The content of a `data.yaml`, checked for its form; files and folders are not."""

    file: Path
    path: str
    """Folder of the data set, as stated in the file; "" if absent."""
    splits: Mapping[str, tuple[str, ...]]
    """Folders and text files of each split, as stated in the file; splits without any are absent."""
    names: Mapping[int, str] | None
    """Class names by class number; None if neither `names` nor `nc` is given."""

    def image_files(self, split: Split, problems: Problems) -> list[Path]:
        """Return the image files of a split, each once: folders with their subfolders by name, text files by line.

        Args:
            split: name of the split.
            problems: collects the lines of text files whose image does not exist.

        Raises:
            DataError: the split is not in the file, a folder or text file is missing or unreadable, or there is no
                image.
        """
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise DataError(f"{self.file} has no images for {split}; add the key {split} (it has {known})")
        root = self._root(split)
        found: dict[Path, None] = {}
        for text in self.splits[split]:
            place = _first_existing([root], text)
            if place is None:
                raise DataError(
                    f"{self.file}: {split} {text} does not exist in {root}; correct path and {split}, or unpack the"
                    " data set there (nothing is downloaded)"
                )
            listed = _images_below(place) if place.is_dir() else _listed_images(place, root, problems)
            found.update(dict.fromkeys(listed))
        if not found:
            reason = f"; for example, {next(iter(problems)).message}" if len(problems) else ""
            raise DataError(f"{self.file}: {split} {', '.join(self.splits[split])} contains no images{reason}")
        return list(found)

    def _root(self, split: Split) -> Path:
        """Return the folder of the data set: the first one that contains the split.

        These are tried: `path` beside the file, in the working folder, or in `datasets` there; the folder of the file.
        """
        beside = self.file.parent
        if not self.path:
            return beside
        bases = (beside, Path(), beside / "datasets", Path("datasets"), beside.parent / "datasets")
        places = list(dict.fromkeys(base / self.path for base in bases))
        for place in (*places, beside):
            if _first_existing([place], self.splits[split][0]) is not None:
                if place == beside and place not in places:
                    logger.warning("%s: path %s does not exist; the folder of the file is used", self.file, self.path)
                return place
        return places[0]


def find_yolo_yaml(path: Path) -> Path | None:
    """Return the `data.yaml` of a data set, given the file itself or the folder that contains it.

    Returns:
        None if `path` is neither a YAML file nor a folder with a description of a data set.

    Raises:
        DataError: the folder contains several, or cannot be read.
    """
    if path.is_file():
        return path if path.suffix.lower() in YAML_SUFFIXES else None
    if not path.is_dir():
        return None
    try:
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in YAML_SUFFIXES and file.is_file())
    except OSError as error:
        raise DataError(f"cannot read {path}: {reason_of(error)}") from error
    found = [file for file in files if _is_data_set(file)]
    if len(found) > 1:
        raise DataError(f"{path} contains several data sets: {', '.join(file.name for file in found)}; give one file")
    return found[0] if found else None


def is_yolo_content(content: object) -> bool:
    """Return whether the content of a YAML file describes a data set."""
    return isinstance(content, dict) and bool({"names", "nc"} & content.keys()) and bool(content.keys() & {*SPLITS})


def read_yolo_yaml(file: Path) -> YoloDataSet:
    """Read a `data.yaml`.

    Raises:
        DataError: it is missing, unreadable, not valid YAML, or not of the form in the description of this module.
    """
    content = _content(file)
    if not isinstance(content, dict):
        raise DataError(f"{file} is not a YOLO data set: it must contain the keys train, val and names")
    root = content.get("path")
    if root is not None and not isinstance(root, str):
        raise DataError(f"{file}: path must be a folder, got {str(root)[:60]}")
    splits = {name: _places(content.get(name), name, file) for name in SPLITS}
    if not any(splits.values()):
        raise DataError(f"{file} is not a YOLO data set: it needs train or val, with a folder of images")
    return YoloDataSet(
        file, root or "", {name: given for name, given in splits.items() if given}, _names(content, file)
    )


def _content(file: Path) -> Any:
    try:
        return parse_yaml(file.read_text(encoding="utf-8-sig"), str(file))
    except OSError as error:
        raise DataError(f"cannot read {file}: {reason_of(error)}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not a text in UTF-8: {error.reason} at byte {error.start}") from error
    except ConfigError as error:
        raise DataError(str(error)) from error


def _is_data_set(file: Path) -> bool:
    """Return whether a file describes a data set; a file called `data.yaml` claims to, even if it is broken."""
    try:
        return is_yolo_content(_content(file))
    except DataError:
        return file.stem == "data"


def _places(value: object, key: str, file: Path) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [] if value in (None, "") else [value]
    if not all(isinstance(one, str) and one and "\0" not in one for one in listed):
        raise DataError(f"{file}: {key} must be a folder, a text file or a list of them, got {str(value)[:60]}")
    return tuple(listed)


def _names(content: Mapping[str, Any], file: Path) -> Mapping[int, str] | None:
    """Return the class names by number; numbered names if only `nc` is given."""
    names, count = content.get("names"), content.get("nc")
    is_count = isinstance(count, int) and not isinstance(count, bool) and 0 < count <= MAX_CLASSES
    if count is not None and not is_count:
        raise DataError(f"{file}: nc must be the number of classes, 1 to {MAX_CLASSES}, got {str(count)[:60]}")
    if names is None:
        return None if count is None else {number: str(number) for number in range(count)}
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(names, dict) or not names or not all(_is_class(key) for key in names):
        raise DataError(f"{file}: names must be a list of class names, or names by class number, got {str(names)[:60]}")
    if count is not None and len(names) != count:
        raise DataError(f"{file}: nc is {count}, but names lists {len(names)} classes; correct one of them")
    return {int(key): str(name) for key, name in names.items()}


def _is_class(key: object) -> bool:
    return (isinstance(key, int) and not isinstance(key, bool) and key >= 0) or (
        isinstance(key, str) and key.isascii() and key.isdecimal()
    )


def _first_existing(folders: Sequence[Path], text: str) -> Path | None:
    """Return the first existing path `text` in these folders; None if there is none.

    Files of Roboflow write `../train/images` for a folder beside them, and files from Windows use backslashes.
    """
    forms = [text]
    if "\\" in text:
        forms.append(text.replace("\\", "/"))
    forms += [form.removeprefix("../") for form in forms if form.startswith("../")]
    return next((folder / form for folder in folders for form in forms if os.path.exists(folder / form)), None)


def _images_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders with the suffix or content of an image, by name."""
    for inner, names in folders_below(folder):
        yield from filter(_is_image, (Path(inner) / name for name in names))


def _is_image(file: Path) -> bool:
    if file.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        found = file_format(file) if file.is_file() else None  # opening a pipe would wait
    except OSError:
        return False
    return found is not None and found.kind in ("image", "unreadable image")


def _listed_images(file: Path, root: Path, problems: Problems) -> Iterator[Path]:
    """Yield the images of a text file, whose paths are relative to the file, the data set or the working folder."""
    if file.suffix.lower() != ".txt":
        raise DataError(f"{file} is neither a folder of images nor a .txt file that lists images")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"cannot read {file}: {reason_of(error)}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not a text in UTF-8: {error.reason} at byte {error.start}") from error
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        path = None if "\0" in text else _first_existing([file.parent, root, Path()], text)
        if path is None:
            problems.add(Problem("image", file, f"{file}, line {number}: image {text[:200]} does not exist"))
        else:
            yield Path(os.path.normpath(path))  # an image that is also in a listed folder is used once
