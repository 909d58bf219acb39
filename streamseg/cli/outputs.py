"""Output files of `streamseg segment`: all of them, or none."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2

from streamseg.drawing import Colour, colour_of, draw_objects
from streamseg.drawing.video import VideoWriter
from streamseg.errors import DataError
from streamseg.pipeline import FrameResult
from streamseg.rle import coco_result
from streamseg.structures.arrays import ImageArray
from streamseg.structures.message import Message

__all__ = ["Outputs", "coco_results"]

Draw = Callable[[ImageArray, Message], ImageArray]


class Outputs:
    """Overlays and `instances.json`, written to a hidden folder and moved into place at the end.

    Use it as a context manager. If the block raises an exception, all files written so far are removed, unless
    `keep_finished`.

    Args:
        folder: output folder, created if it does not exist.
        title: path or name that names the video overlay, which gets its stem.
        video_fps: nominal frame rate of a video, which gets one MP4 overlay; None for images, which get a PNG each.
        overlay: False to write `instances.json` only.
        keep_finished: True to keep the results of finished images, if the block raises an exception.
        draw: returns the overlay for an RGB image (H, W, 3) and its message; None for outlines in each track's colour.

    Raises:
        DataError: the folder is not writable.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        *,
        video_fps: float | None,
        overlay: bool = True,
        keep_finished: bool = False,
        draw: Draw | None = None,
    ) -> None:
        self.num_frames = 0
        self.num_instances = 0
        self._folder = folder
        self._made_folder = not folder.exists()
        self._video_fps = video_fps
        self._overlay = overlay
        self._keep_finished = keep_finished
        self._draw = draw if draw is not None else self._outlines
        self._results: list[dict[str, Any]] = []
        self._written: list[Path] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._staging = Path(tempfile.mkdtemp(prefix=".segment-", dir=folder))
        except OSError as error:
            raise DataError(f"cannot write into {folder}: {error.strerror}") from error
        self._video: VideoWriter | None = None
        self._video_path = self._staging / f"{Path(title).stem}.mp4"

    def write(self, result: FrameResult, name: str, *, image_name: str | None = None) -> None:
        """Add one frame and its objects.

        Args:
            result: result of the frame.
            name: file name of the image, or of the video.
            image_name: file name of the overlay, whose suffix selects the format; None for the image's name as PNG.

        Raises:
            DataError: the overlay cannot be written.
        """
        message = result.message
        image_id = message.frame_index if self._video_fps is not None else _image_id(name, self.num_frames)
        self._results += coco_results(message, image_id, name)
        self.num_instances += len(message.objects)
        self.num_frames += 1
        if not self._overlay:
            return
        drawn = self._draw(result.frame.image, message)
        if self._video_fps is not None:
            if self._video is None:
                self._video = VideoWriter(self._video_path, fps=self._video_fps)
            self._video.write(drawn, seconds=message.pts_seconds)
        else:
            path = self._free_name(f"{Path(name).stem}.png" if image_name is None else image_name)
            if not cv2.haveImageWriter(path.name) or not cv2.imwrite(str(path), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)):
                raise DataError(f"cannot write {self._folder / path.name}; use a name that ends in .png or .jpg")

    def files(self) -> list[Path]:
        """Return the written files once the block has ended; a long list is abbreviated."""
        return self._written if len(self._written) <= 4 else [*self._written[:2], self._folder / "…", self._written[-1]]

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
            shutil.rmtree(self._staging)
            if self._made_folder and not any(self._folder.iterdir()):
                self._folder.rmdir()

    def _finish(self) -> None:
        if self._video is not None:
            self._video.close()
        if self.num_frames:
            (self._staging / "instances.json").write_text(json.dumps(self._results), encoding="utf-8")
        for path in sorted(self._staging.iterdir()):
            self._written.append(path.replace(self._folder / path.name))

    def _outlines(self, image: ImageArray, message: Message) -> ImageArray:
        # Separate images have no tracks, so colours go by rank.
        colours: Sequence[Colour] | None = None
        if self._video_fps is None:
            colours = [colour_of(rank) for rank in range(len(message.objects))]
        return draw_objects(image, message.objects, mask_size=message.mask_size, colours=colours)

    def _free_name(self, name: str) -> Path:
        """Return an unused path, because images may differ only in suffix or folder."""
        path = self._staging / name
        number = 1
        while path.exists():
            path = self._staging / f"{Path(name).stem}-{number}{Path(name).suffix}"
            number += 1
        return path


def coco_results(message: Message, image_id: int, file_name: str) -> list[dict[str, Any]]:
    """Return the objects as COCO results: xywh boxes, and compressed RLE of full-size masks.

    `track_id`, `prompt_ids`, `file_name` and, in a video, `timestamp_seconds` (since its first frame) are additional
    keys, which COCO readers ignore.
    """
    time = {} if message.pts_seconds is None else {"timestamp_seconds": round(message.pts_seconds, 6)}
    return [
        {
            **coco_result(one.mask, message.mask_size, one.box, one.score, image_id=image_id),
            "track_id": one.track_id,
            "prompt_ids": list(one.prompt_ids),
            "file_name": file_name,
            **time,
        }
        for one in message.objects
    ]


def _image_id(name: str, position: int) -> int:
    """Return the id in a COCO file name; for other names, the position."""
    stem = Path(name).stem
    return int(stem) if stem.isdecimal() and len(stem) <= 15 else position
