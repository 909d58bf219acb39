"""COCO: `instances.json` with run lengths, and `images/`.

Format: https://cocodataset.org/#format-data. Additional keys, which readers of COCO ignore: `score`, `track_id` and
`prompt_ids` of annotations; of videos `frame_index` and `timestamp_seconds` of images, and `videos`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamseg.datasets.coco_writer import write_instances
from streamseg.datasets.writers.base import DESCRIPTION, Categories, ResultImage
from streamseg.rle import coco_result
from streamseg.structures.message import MessageObject

__all__ = ["CocoWriter"]


class CocoWriter:
    """Collects images and annotations for one JSON file; masks are exact.

    Args:
        folder: the data set, an empty folder.
        categories: category names; ids are positions from 1.
        video: file name of the video whose frames the images are; None for separate images.
        version: version of this program, for `info`.
    """

    image_folder = "images"
    index = "instances.json"
    markers = (f'{{"info":{{"description":"{DESCRIPTION}', "[")  # earlier versions wrote a list of results

    def __init__(self, folder: Path, categories: Categories, *, video: str | None, version: str) -> None:
        self._folder = folder
        self._categories = categories
        self._video = video
        self._version = version
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def label_file(self, stem: str) -> None:
        """Return None: one file has the labels of all images."""
        return None

    def add(self, image: ResultImage, objects: Sequence[MessageObject]) -> None:
        """Add an image and its objects; see `DataSetWriter`."""
        height, width = image.size
        time = {} if image.seconds is None else {"timestamp_seconds": round(image.seconds, 6)}
        frame = {} if image.frame_index is None else {"video_id": 1, "frame_index": image.frame_index}
        self._images.append(
            {"id": image.id, "file_name": image.file_name, "width": width, "height": height, **frame, **time}
        )
        for one in objects:
            result = coco_result(
                one.mask,
                image.size,
                one.box,
                one.score,
                image_id=image.id,
                category_id=self._categories.position(one.label) + 1,
            )
            identity = {"track_id": one.track_id, "prompt_ids": list(one.prompt_ids)}
            # Programs that evaluate take annotation 0 for none.
            self._annotations.append({"id": len(self._annotations) + 1, **result, "iscrowd": 0, **identity, **time})

    def finish(self) -> None:
        """Write `instances.json`; raise OSError on failure."""
        names = enumerate(self._categories, start=1)
        content: dict[str, Any] = {
            "info": {"description": DESCRIPTION, "version": self._version},
            "licenses": [],
            "categories": [{"id": number, "name": name, "supercategory": ""} for number, name in names],
            "images": self._images,
            "annotations": self._annotations,
        }
        if self._video is not None:
            content["videos"] = [{"id": 1, "name": self._video}]
        write_instances(self._folder, content)
