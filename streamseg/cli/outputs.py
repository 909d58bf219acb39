"""Output files of `streamseg segment`: all of them, or none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from streamseg.cli.data_set_output import DataSetOutput
from streamseg.datasets.formats import Format
from streamseg.datasets.writers import Categories
from streamseg.drawing import Colour, colour_of, draw_objects
from streamseg.drawing.image_file import write_image
from streamseg.drawing.video import VideoWriter
from streamseg.errors import DataError, reason_of
from streamseg.pipeline import FrameResult
from streamseg.structures.arrays import ImageArray
from streamseg.structures.message import Message

__all__ = ["Outputs"]

MAX_LISTED = 3
"""Maximum number of overlays that are listed by name."""


class Outputs:
    """Overlays and a data set, written to a hidden folder and moved into place at the end.

    Use it as a context manager. If the block raises an exception, all files written so far are removed, unless
    `keep_finished`.

    Args:
        folder: output folder, created if it does not exist.
        source: the input; a video's overlay gets its stem.
        paths: the images, `Frame.index` is the position; None for a video.
        video_fps: nominal frame rate of a video, which gets one MP4 overlay; images get a PNG each.
        data_format: format of the data set; see `DataSetOutput` for this and the next two.
        categories: names of categories.
        copy_images: whether the data set includes its images.
        overlay: False to write no overlays.
        keep_finished: True to keep the results of finished images, if the block raises an exception.
        image_name: file name of the overlay of a single image, whose suffix selects the format; None for the image's
            name as PNG.
        draw: returns the overlay for an RGB image (H, W, 3) and its message; None for outlines in each track's colour.

    Raises:
        DataError: the folder is not writable, or contains a data set that is no result of an earlier run.
    """

    def __init__(
        self,
        folder: Path,
        source: Path,
        *,
        paths: Sequence[Path] | None,
        data_format: Format,
        categories: Categories,
        copy_images: bool = True,
        video_fps: float = 30.0,
        overlay: bool = True,
        keep_finished: bool = False,
        image_name: str | None = None,
        draw: Callable[[ImageArray, Message], ImageArray] | None = None,
    ) -> None:
        self.num_frames = 0
        self.num_instances = 0
        self._folder = folder
        self._made_folder = not folder.exists()
        self._paths = paths
        self._video_fps = video_fps
        self._overlay = overlay
        self._keep_finished = keep_finished
        self._image_name = image_name
        self._draw = draw if draw is not None else self._outlines
        self._inputs = {path.resolve() for path in ([source] if paths is None else paths)}
        self._overlays: list[Path] = []
        self._others: list[Path] = []
        self._video: VideoWriter | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._staging = Path(tempfile.mkdtemp(prefix=".segment-", dir=folder))
        except OSError as error:
            raise DataError(f"cannot write into {folder}: {reason_of(error)}") from error
        self._video_path = self._staging / f"{source.stem}.mp4"
        try:
            self._data_set = DataSetOutput(
                self._staging,
                folder,
                source,
                paths=paths,
                data_format=data_format,
                categories=categories,
                copy_images=copy_images,
            )
        except DataError:
            self._remove_staging()
            raise

    def write(self, result: FrameResult) -> None:
        """Add one frame and its objects.

        Raises:
            DataError: a file cannot be written, or would replace an input or another data set's image.
        """
        if self._overlay:
            self._write_overlay(result)
        self._data_set.add(result)
        self.num_instances += len(result.message.objects)
        self.num_frames += 1

    def files(self) -> list[Path]:
        """Return the written files and folders once the block has ended; many overlays are abbreviated."""
        shown = self._overlays
        if len(shown) > MAX_LISTED:
            shown = [shown[0], self._folder / "…", shown[-1]]
        return [*shown, *self._others]

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None or self._keep_finished:
                self._finish()
            elif self._video is not None:
                self._video.discard()
        finally:
            self._remove_staging()

    def _remove_staging(self) -> None:
        shutil.rmtree(self._staging)
        if self._made_folder and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _finish(self) -> None:
        if self._video is not None:
            self._video.close()
        if not self.num_frames:
            return
        overlays = sorted(path.name for path in self._staging.iterdir() if path.is_file())
        self._data_set.finish()
        index = self._data_set.index
        others = sorted(path.name for path in self._staging.iterdir() if path.name not in (*overlays, index))
        try:
            # Folders come first, because another file may have their name; the index, which names all files, last.
            for name in (*others, *overlays, index):
                _move(self._staging / name, self._folder / name)
        except OSError as error:
            raise DataError(f"cannot write into {self._folder}: {reason_of(error)}") from error
        self._overlays = [self._folder / name for name in overlays]
        self._others = [self._folder / name for name in (*others, index)]

    def _write_overlay(self, result: FrameResult) -> None:
        message = result.message
        if self._paths is None:
            drawn = self._draw(result.frame.image, message) if result.effect is None else result.effect()
            if self._video is None:
                self._check_target(self._video_path.name)
                self._video = VideoWriter(self._video_path, fps=self._video_fps)
            self._video.write(drawn, seconds=message.pts_seconds)
            return
        name = self._image_name or f"{self._data_set.stem(result.frame.index)}.png"
        self._check_target(name)
        effect = result.effect
        image = self._draw(result.frame.image, message) if effect is None else effect.for_file()
        write_image(self._staging / name, image)

    def _check_target(self, name: str) -> None:
        """Raise a DataError if an overlay would replace an input."""
        if (self._folder / name).resolve() in self._inputs:
            raise DataError(
                f"the overlay would replace the input {self._folder / name}; choose another folder with --out, or add"
                " --no-overlay"
            )

    def _outlines(self, image: ImageArray, message: Message) -> ImageArray:
        # Separate images have no tracks, so colours go by rank.
        colours: Sequence[Colour] | None = None
        if self._paths is not None:
            colours = [colour_of(rank) for rank in range(len(message.objects))]
        return draw_objects(image, message.objects, mask_size=message.mask_size, colours=colours)


def _move(source: Path, target: Path) -> None:
    """Move a file, or the files of a folder one by one into an existing one; files with the same name are replaced."""
    if not source.is_dir():
        source.replace(target)
        return
    target.mkdir(exist_ok=True)
    for path in sorted(source.iterdir()):
        _move(path, target / path.name)
