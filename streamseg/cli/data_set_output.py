"""The data set that `streamseg segment` writes: labels in one of several formats, and their images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamseg import __version__
from streamseg.datasets.formats import Format
from streamseg.datasets.writers import (
    Categories,
    DataSetWriter,
    ResultImage,
    image_ids,
    image_objects,
    open_writer,
    unique_stems,
)
from streamseg.drawing.image_file import encode_image
from streamseg.errors import DataError, reason_of
from streamseg.imaging import plain_file
from streamseg.pipeline import FrameResult

__all__ = ["DataSetOutput"]


class DataSetOutput:
    """Labels and images, written below a staging folder that is moved into place later.

    Files that every program reads alike are copied unchanged; other images are written as PNG, the pixels that were
    segmented; frames of a video as JPEG.

    Args:
        staging: an empty folder, to write into.
        folder: the folder that the content of `staging` is moved into.
        source: the input; for a video its file.
        paths: the images; None for a video. `Frame.index` is the position.
        data_format: format of the labels.
        categories: names of categories.
        copy_images: False to refer to images at their place, by absolute paths, and to write no frames of a video.

    Raises:
        DataError: `folder` contains a data set in this format that is no result of an earlier run.
    """

    def __init__(
        self,
        staging: Path,
        folder: Path,
        source: Path,
        *,
        paths: Sequence[Path] | None,
        data_format: Format,
        categories: Categories,
        copy_images: bool,
    ) -> None:
        self._staging = staging
        self._folder = folder
        self._paths = paths
        self._ids = [] if paths is None else image_ids(paths)
        self._stems = unique_stems([source] if paths is None else paths)
        self._copy_images = copy_images
        video = source.name if paths is None else None
        self._writer = open_writer(data_format, staging, categories, video=video, version=__version__)
        self._replaces_earlier = _contains_result(folder, self._writer)

    @property
    def index(self) -> str:
        """Name of the file that names the data set."""
        return self._writer.index

    def stem(self, frame_index: int) -> str:
        """Return the unique name of an image, or of a frame of the video, without a suffix."""
        return self._stems[frame_index] if self._paths is not None else f"{self._stems[0]}-{frame_index:06}"

    def add(self, result: FrameResult) -> None:
        """Write an image and its labels.

        Raises:
            DataError: a file cannot be written, or would replace one that is no result of an earlier run.
        """
        index, message = result.frame.index, result.message
        is_frame = self._paths is None
        label_file = self._writer.label_file(self.stem(index))
        try:
            if label_file is not None:
                self._check_target(self._folder / label_file)
            image = ResultImage(
                id=index if is_frame else self._ids[index],
                file_name=self._place_image(result),
                stem=self.stem(index),
                size=message.image_size,
                frame_index=index if is_frame else None,
                seconds=message.pts_seconds,
            )
            self._writer.add(image, image_objects(message))
        except OSError as error:
            raise DataError(f"cannot write into {self._folder}: {reason_of(error)}") from error

    def finish(self) -> None:
        """Write the index, after the last image; raise DataError on failure."""
        try:
            self._writer.finish()
        except OSError as error:
            raise DataError(f"cannot write into {self._folder}: {reason_of(error)}") from error

    def _place_image(self, result: FrameResult) -> str:
        """Write the image, unless it stays at its place, and return its name in the data set."""
        stem = self.stem(result.frame.index)
        if self._paths is None:
            name = f"{stem}.jpg"
            if self._copy_images:
                self._write_image(name, encode_image(".jpg", result.frame.image))
            return name
        path = self._paths[result.frame.index]
        if not self._copy_images:
            return str(path.absolute())
        plain = plain_file(path)
        if plain is None:
            self._write_image(f"{stem}.png", encode_image(".png", result.frame.image))
            return f"{stem}.png"
        self._write_image(f"{stem}{plain.suffix}", plain.content)
        return f"{stem}{plain.suffix}"

    def _write_image(self, name: str, content: bytes) -> None:
        target = self._folder / self._writer.image_folder / name
        if target.exists() and target.read_bytes() == content:  # such as an image of this very folder
            return
        self._check_target(target)
        staged = self._staging / self._writer.image_folder / name
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.write_bytes(content)

    def _check_target(self, target: Path) -> None:
        """Raise a DataError if the file exists and is not from an earlier run."""
        if target.exists() and not self._replaces_earlier:
            raise DataError(f"{target} is not from an earlier run of segment; choose another folder with --out")


def _contains_result(folder: Path, writer: DataSetWriter) -> bool:
    """Return whether the folder contains a result of an earlier run.

    Raises:
        DataError: the folder contains another data set, which must not be replaced.
    """
    index = folder / writer.index
    try:
        with index.open(encoding="utf-8", errors="replace") as file:
            start = file.read(max(map(len, writer.markers)))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DataError(f"cannot read {index}: {reason_of(error)}; choose another folder with --out") from error
    if not start.startswith(writer.markers):
        raise DataError(f"{index} is a data set that segment did not write; choose another folder with --out")
    return True
