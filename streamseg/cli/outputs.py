"""The files that `streamseg segment` leaves behind: all of them, or none."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.drawing import Colour, colour_of, draw_objects
from streamseg.drawing.video import VideoWriter
from streamseg.errors import DataError
from streamseg.pipeline import FrameResult
from streamseg.rle import crop_to_coco
from streamseg.structures.message import Message

__all__ = ["Outputs", "coco_results"]

Draw = Callable[[npt.NDArray[np.uint8], Message], npt.NDArray[np.uint8]]


class Outputs:
    """Overlays and `instances.json`, made in a hidden folder and moved into place at the end.

    Use it as a context manager; leaving the block by an exception removes whatever was made.

    Args:
        folder: where the files go; made if need be.
        title: names the video's overlay: its file name without the suffix.
        video_fps: nominal rate of a video, for which there will be one MP4; None: a PNG per picture.
        overlay: False: `instances.json` only.
        draw: makes the overlay of a picture (H, W, 3) RGB with its message; None: outlines in each identity's colour.

    Raises:
        DataError: the folder cannot be written.
    """

    def __init__(
        self, folder: Path, title: str, *, video_fps: float | None, overlay: bool = True, draw: Draw | None = None
    ) -> None:
        self.num_frames = 0
        self.num_instances = 0
        self._folder = folder
        self._made_folder = not folder.exists()
        self._video_fps = video_fps
        self._overlay = overlay
        self._draw = draw if draw is not None else self._outlines
        self._results: list[dict[str, Any]] = []
        self._moved: list[Path] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._workshop = Path(tempfile.mkdtemp(prefix=".segment-", dir=folder))
        except OSError as error:
            raise DataError(f"cannot write into {folder}: {error.strerror}") from error
        self._video: VideoWriter | None = None
        self._video_path = self._workshop / f"{Path(title).stem}.mp4"

    def write(self, result: FrameResult, name: str, *, image_name: str | None = None) -> None:
        """Add one picture and its objects.

        Args:
            result: what was found in it.
            name: the picture's file name; of a video, the video's.
            image_name: the overlay's file name, whose suffix says how it is coded; None: that of the picture, as PNG.

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
                raise DataError(f"cannot write {self._folder / path.name}; give a name that ends in .png or .jpg")

    def files(self) -> list[Path]:
        """What was written, after the block; a long list is cut."""
        return self._moved if len(self._moved) <= 4 else [*self._moved[:2], self._folder / "…", self._moved[-1]]

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
            elif self._video is not None:
                self._video.discard()
        finally:
            shutil.rmtree(self._workshop)
            if self._made_folder and not any(self._folder.iterdir()):
                self._folder.rmdir()

    def _finish(self) -> None:
        if self._video is not None:
            self._video.close()
        if self.num_frames:
            (self._workshop / "instances.json").write_text(json.dumps(self._results), encoding="utf-8")
        for path in sorted(self._workshop.iterdir()):
            self._moved.append(path.replace(self._folder / path.name))

    def _outlines(self, image: npt.NDArray[np.uint8], message: Message) -> npt.NDArray[np.uint8]:
        # Nothing is followed from picture to picture, so that the rank gives the colour.
        colours: Sequence[Colour] | None = None
        if self._video_fps is None:
            colours = [colour_of(rank) for rank in range(len(message.objects))]
        return draw_objects(image, message.objects, mask_size=message.mask_size, colours=colours)

    def _free_name(self, name: str) -> Path:
        """Pictures that differ in the suffix or the folder only must not overwrite one another."""
        path = self._workshop / name
        number = 1
        while path.exists():
            path = self._workshop / f"{Path(name).stem}-{number}{Path(name).suffix}"
            number += 1
        return path


def coco_results(message: Message, image_id: int, file_name: str) -> list[dict[str, Any]]:
    """The objects as COCO results: xywh boxes and compressed run lengths on the full picture.

    `track_id`, `prompt_ids` and `file_name` are additions, which COCO's readers ignore.
    """
    results = []
    for one in message.objects:
        x0, y0, x1, y1 = one.box
        results.append(
            {
                "image_id": image_id,
                "category_id": 1,
                "bbox": [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)],
                "score": round(one.score, 4),
                "segmentation": crop_to_coco(one.mask, message.mask_size),
                "area": one.area,
                "track_id": one.track_id,
                "prompt_ids": list(one.prompt_ids),
                "file_name": file_name,
            }
        )
    return results


def _image_id(name: str, position: int) -> int:
    """COCO's pictures are named by their id; others are counted."""
    stem = Path(name).stem
    return int(stem) if stem.isdecimal() and len(stem) <= 15 else position
