"""Files that a prediction writes: overlays, label files and crops, in a folder of runs as in the originals.

runs/segment/predict/dogs.jpg                 save: overlay of an image
runs/segment/predict/street.mp4               save: overlay of a video
runs/segment/predict/labels/dogs.txt          save_txt: objects in YOLO format
runs/segment/predict/labels/street_1.txt      the same of the first frame of a video
runs/segment/predict/crops/object/dogs.jpg    save_crop: one image per object, numbered from the second one on
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import cv2

from streamseg.drawing.video import VideoWriter
from streamseg.errors import ConfigError, DataError, reason_of
from streamseg.fastsam.plot import write_image
from streamseg.fastsam.results import Results
from streamseg.fastsam.run_folder import new_run_folder
from streamseg.fastsam.sources import SourceImage

__all__ = ["ResultWriter", "Saving"]


@dataclass(frozen=True)
class Saving:
    """Options of a call that writes files.

    Raises:
        ConfigError: the line width is below 1.
    """

    save: bool = False
    """Write overlays."""
    save_txt: bool = False
    """Write a label file per image or frame with objects."""
    save_conf: bool = False
    """Add scores to the label files."""
    save_crop: bool = False
    """Write the box of each object as an image."""
    show_labels: bool = True
    show_conf: bool = True
    show_boxes: bool = True
    line_width: int | None = None
    """Line width of the boxes in pixels; None: depends on the image size."""
    project: str | None = None
    name: str | None = None
    exist_ok: bool = False
    """See `new_run_folder`."""

    def __post_init__(self) -> None:
        if self.line_width is not None and self.line_width < 1:
            raise ConfigError(f"line_width must be 1 or more, got {self.line_width}")

    @property
    def writes_files(self) -> bool:
        """Whether there is anything to write."""
        return self.save or self.save_txt or self.save_crop


class ResultWriter:
    """Writer of the results of one call; use it as a context manager.

    The folder is created with the first result, so that an unreadable source leaves none. A video of an interrupted
    loop is complete up to there; after an error, it is deleted.
    """

    def __init__(self, saving: Saving, mode: str) -> None:
        self.folder: Path | None = None
        """Folder of the run; None before the first result, and if there is nothing to write."""
        self._saving = saving
        self._mode = mode
        self._names: set[str] = set()
        self._video: VideoWriter | None = None
        self._video_name = ""

    def write(self, image: SourceImage, result: Results) -> None:
        """Write the files of one image or frame, and set `result.save_dir`.

        Raises:
            DataError: a file cannot be written.
        """
        saving = self._saving
        if not saving.writes_files:
            return
        if self.folder is None:
            self.folder = new_run_folder(self._mode, saving.project, saving.name, exist_ok=saving.exist_ok)
        result.save_dir = str(self.folder)
        if image.frame is None:
            name = self._free_name(image.path)
            stem = Path(name).stem
        else:
            if image.frame == 0 or not self._video_name:
                self._close_video()
                self._video_name = Path(self._free_name(image.path)).stem
            name, stem = f"{self._video_name}.mp4", f"{self._video_name}_{image.frame + 1}"
        if saving.save:
            self._write_overlay(image, result, self.folder / name)
        if saving.save_txt:
            labels = self.folder / "labels" / f"{stem}.txt"
            _delete(labels)  # of an earlier run in the same folder
            result.save_txt(labels, save_conf=saving.save_conf)
        if saving.save_crop:
            result.save_crop(self.folder / "crops", f"{stem}.jpg")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None or not issubclass(kind, Exception):
            self._close_video()
        elif self._video is not None:
            self._video.discard()

    def _write_overlay(self, image: SourceImage, result: Results, path: Path) -> None:
        saving = self._saving
        drawn = result.plot(
            conf=saving.show_conf, labels=saving.show_labels, boxes=saving.show_boxes, line_width=saving.line_width
        )
        if image.frame is None:
            write_image(path, drawn)
            return
        if self._video is None:
            self._video = VideoWriter(path)
        self._video.write(drawn[:, :, ::-1], seconds=image.time_seconds)

    def _close_video(self) -> None:
        if self._video is not None:
            self._video.close()
            self._video = None

    def _free_name(self, source: str) -> str:
        """Return an unused file name for an image or video: its own name, numbered if another source has it."""
        name = Path(source).name
        if "://" in source:  # without a password, or a token in the query
            address = urlsplit(source)
            name = f"{address.hostname or ''}{address.path}"
        safe = Path(re.sub(r"[^\w.-]+", "_", name) or "image")
        suffix = safe.suffix if cv2.haveImageWriter(safe.name) else ".png"
        stem, number = safe.stem, 1
        while stem in self._names:
            number += 1
            stem = f"{safe.stem}-{number}"
        self._names.add(stem)
        return f"{stem}{suffix}"


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {reason_of(error)}") from error
