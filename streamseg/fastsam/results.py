"""`Results`: the objects of one image, with the attributes and methods that scripts use."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch

from streamseg.errors import DataError, reason_of
from streamseg.fastsam.plot import draw_rows, write_image
from streamseg.fastsam.rows import Boxes, Masks
from streamseg.fastsam.summary import data_frame, label_lines, summary
from streamseg.structures.instances import Instances

__all__ = ["NAMES", "Prompting", "Results"]

Prompting = Literal["reference", "default"]
"""Rules for masks and prompts. `reference`: FastSAM's rules; `default`: streamseg's rules."""

NAMES: Mapping[int, str] = {0: "object"}
"""Class names by number; there is one class."""


class Results:
    """K objects of one image. If K is 0, `boxes` and `masks` have no rows; they are never None."""

    def __init__(
        self,
        orig_img: npt.NDArray[np.uint8],
        path: str,
        boxes: Boxes,
        masks: Masks,
        *,
        instances: Instances,
        prompting: Prompting = "reference",
        names: Mapping[int, str] = NAMES,
        speed: Mapping[str, float] | None = None,
    ) -> None:
        """Combine the parts that belong to one image.

        Args:
            orig_img: the image, uint8 (H, W, 3) BGR.
            path: file of the image, or a generated name.
            boxes: boxes of K objects.
            masks: masks of the same objects.
            instances: the same rows with logits instead of masks, for streamseg's rules.
            prompting: rules that match prompts.
            names: class names by number.
            speed: processing time of the image in milliseconds, by stage: `preprocess`, `inference`, `postprocess`.
        """
        if not len(boxes) == len(masks) == len(instances):
            raise ValueError(f"boxes, masks and instances differ: {len(boxes)}, {len(masks)}, {len(instances)}")
        self.orig_img = orig_img
        self.orig_shape: tuple[int, int] = (orig_img.shape[0], orig_img.shape[1])
        """(H, W) of the image."""
        self.path = path
        self.boxes = boxes
        self.masks = masks
        self.instances = instances
        self.prompting = prompting
        self.names = dict(names)
        self.speed = dict(speed or {})
        self.save_dir: str | None = None
        """Folder that `predict` wrote files of this image to; None if it wrote none."""
        self.probs = self.keypoints = self.obb = None
        """Outputs of other kinds of networks; always None."""

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: Any) -> Self:
        """Select rows by a number (one row), a slice, a list, indices or a bool mask."""
        selected = torch.arange(len(self))[torch.as_tensor(rows) if isinstance(rows, np.ndarray) else rows].reshape(-1)
        return self._with(self.boxes[_like(self.boxes, selected)], self.masks[_like(self.masks, selected)], selected)

    def __iter__(self) -> Iterator[Self]:
        return (self[row] for row in range(len(self)))

    def cpu(self) -> Self:
        """Return a copy with tensors on the CPU."""
        return self._with(self.boxes.cpu(), self.masks.cpu())

    def numpy(self) -> Self:
        """Return a copy with NumPy arrays instead of tensors."""
        return self._with(self.boxes.numpy(), self.masks.numpy())

    def cuda(self) -> Self:
        """Return a copy with tensors on the GPU."""
        return self.to("cuda")

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return a copy with other tensors; arguments as in `torch.Tensor.to`."""
        return self._with(self.boxes.to(*args, **kwargs), self.masks.to(*args, **kwargs))

    def plot(
        self,
        *,
        conf: bool = True,
        labels: bool = True,
        boxes: bool = True,
        masks: bool = True,
        line_width: int | None = None,
        img: npt.NDArray[np.uint8] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Return the image with the objects drawn on it, uint8 (H, W, 3) BGR; no window is opened.

        Args:
            conf: write the scores.
            labels: write the names.
            boxes: draw the boxes.
            masks: draw the masks.
            line_width: line width of the boxes in pixels; None: depends on the image size.
            img: another image (H, W, 3) BGR of the same size to draw on.
        """
        canvas = self.orig_img if img is None else img
        if canvas.shape != self.orig_img.shape:
            raise DataError(f"img must have the shape of the image, {self.orig_img.shape}, got {canvas.shape}")
        titles = []
        for score, kind in zip(self.boxes.conf.tolist(), self.boxes.cls.tolist(), strict=True):
            words = [self.names[int(kind)]] if labels else []
            titles.append(" ".join([*words, *([f"{score:.2f}"] if conf else [])]) or None)
        drawn = draw_rows(
            canvas[:, :, ::-1],
            self.masks.in_image() if masks else None,
            np.asarray(self.boxes.numpy().xyxy),
            titles=titles,
            identities=None if self.boxes.id is None else [int(one) for one in self.boxes.id.tolist()],
            box_width_px=(line_width or max(1, round(min(self.orig_shape) / 400))) if boxes else 0,
        )
        return np.ascontiguousarray(drawn[:, :, ::-1])

    def save(self, filename: str | Path | None = None, **options: Any) -> str:
        """Write `plot(**options)` to an image file and create its folder; return the path.

        Without `filename` the file is `results_` followed by the name of the image.

        Raises:
            DataError: the file cannot be written, or its suffix is not an image format.
        """
        path = Path(filename) if filename is not None else Path(f"results_{Path(self.path).name}")
        write_image(path, self.plot(**options))
        return str(path)

    def save_txt(self, txt_file: str | Path, save_conf: bool = False) -> str:
        """Append the objects to a label file in YOLO format, see `label_lines`; return its path.

        Without objects nothing is written, because an image without a label file has no objects.

        Args:
            txt_file: path of the file; its folder is created.
            save_conf: add the scores.

        Raises:
            DataError: the file cannot be written.
        """
        lines = list(label_lines(self.boxes, self.masks, save_conf=save_conf))
        path = Path(txt_file)
        try:
            if lines:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.writelines(f"{line}\n" for line in lines)
        except OSError as error:
            raise DataError(f"cannot write {path}: {reason_of(error)}") from error
        return str(path)

    def save_crop(self, save_dir: str | Path, file_name: str | Path = "im.jpg") -> None:
        """Write the pixels of each box, rounded outwards, as `<save_dir>/<class name>/<file_name>`.

        From the second object of a class on, or if the file exists, the name gets a number: `im2.jpg`. Boxes without a
        pixel inside the image are omitted.

        Raises:
            DataError: a file cannot be written, or its suffix is not an image format.
        """
        height, width = self.orig_shape
        for (x0, y0, x1, y1), kind in zip(self.boxes.xyxy.tolist(), self.boxes.cls.tolist(), strict=True):
            top, bottom = max(math.floor(y0), 0), min(math.ceil(y1), height)
            left, right = max(math.floor(x0), 0), min(math.ceil(x1), width)
            if top < bottom and left < right:
                path = Path(save_dir) / self.names[int(kind)] / Path(file_name)
                names = (path.with_stem(f"{path.stem}{number if number > 1 else ''}") for number in count(1))
                write_image(next(name for name in names if not name.exists()), self.orig_img[top:bottom, left:right])

    def verbose(self) -> str:
        """Return the number of objects in words."""
        return f"{len(self)} {self.names[0]}{'' if len(self) == 1 else 's'}, "

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[dict[str, Any]]:
        """Return one dict per object, see `summary`.

        Args:
            normalize: divide x by the width of the image and y by its height.
            decimals: number of decimals.
        """
        return summary(self.boxes, self.masks, self.names, normalize=normalize, decimals=decimals)

    def to_df(self, normalize: bool = False, decimals: int = 5) -> Any:
        """Return `summary` as a `pandas.DataFrame`, one row per object.

        Raises:
            DataError: pandas is not installed.
        """
        return data_frame(self.summary(normalize, decimals), "to_df")

    def to_csv(self, normalize: bool = False, decimals: int = 5) -> str:
        """Return `to_df` as CSV; raise DataError if pandas is not installed."""
        text: str = data_frame(self.summary(normalize, decimals), "to_csv").to_csv()
        return text

    def to_json(self, normalize: bool = False, decimals: int = 5) -> str:
        """Return `summary` as JSON."""
        return json.dumps(self.summary(normalize, decimals), indent=2)

    def tojson(self, normalize: bool = False, decimals: int = 5) -> str:
        """Return `summary` as JSON; older name of `to_json`."""
        return self.to_json(normalize, decimals)

    def __repr__(self) -> str:
        height, width = self.orig_shape
        return f"Results({self.path!r}, {width}x{height}, {self.verbose().rstrip(', ')})"

    def _with(self, boxes: Boxes, masks: Masks, rows: torch.Tensor | None = None) -> Self:
        copied = type(self)(
            self.orig_img,
            self.path,
            boxes,
            masks,
            instances=self.instances if rows is None else self.instances[rows],
            prompting=self.prompting,
            names=self.names,
            speed=self.speed,
        )
        copied.save_dir = self.save_dir
        return copied


def _like(rows: Boxes | Masks, selected: torch.Tensor) -> Any:
    return selected.numpy() if isinstance(rows.data, np.ndarray) else selected.to(rows.data.device)
