"""Draw the objects that two weights find, side by side: images of eval-coco and frames of the clips.

python -m benchmarks.before_after BEFORE AFTER --out FOLDER [--images 12] [--frames 6]

Images and frames are chosen by their position alone, at equal distances. An object found by both has one colour. Sheets
whose sources allow changed copies (CC BY) are in FOLDER/cc-by, the others in FOLDER/not-free, each with `sources.txt`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.harness import DATA, parser
from streamseg.drawing.overlay import Colour, colour_of, draw_objects
from streamseg.evaluation.overlap import mask_ious
from streamseg.imaging import load_image
from streamseg.segmentation import Segmenter
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.arrays import ImageArray
from streamseg.structures.mask import CropMask
from streamseg.structures.message import MessageObject

CC_BY = "http://creativecommons.org/licenses/by/2.0/"
"""The licence of eval-coco's images that allows changed copies without further conditions."""
PANEL_PX = 300
"""Largest side of one panel, pixels."""
GAP_PX = 4
JPEG_QUALITY = 78
SAME_IOU = 0.5
"""Masks that overlap at least so much are one object."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """Images that are shown together."""

    name: str
    images: Sequence[ImageArray]
    sources: Sequence[str]
    """One line per image or for all: attribution, licence, address."""
    is_free: bool
    """Whether changed copies are allowed."""


def main() -> int:
    flags = parser(__doc__)
    flags.add_argument("before", metavar="BEFORE", help="weights: a name or a file")
    flags.add_argument("after", metavar="AFTER", help="weights: a name or a file")
    flags.add_argument("--data", type=Path, default=DATA, help="folder with eval-coco and clips (default %(default)s)")
    flags.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    flags.add_argument("--images", type=int, default=12, help="number of images (default %(default)s)")
    flags.add_argument("--frames", type=int, default=6, help="number of frames of each clip (default %(default)s)")
    arguments = flags.parse_args()
    names = (arguments.before, arguments.after)
    lines: dict[Path, list[str]] = {}
    with Segmenter(names[0]) as before, Segmenter(names[1]) as after:
        for sheet in sheets(arguments.data, num_images=arguments.images, num_frames=arguments.frames):
            pairs, counts = zip(*(draw_pair(image, before, after) for image in sheet.images), strict=True)
            folder = arguments.out / ("cc-by" if sheet.is_free else "not-free")
            path = folder / f"{sheet.name}.jpg"
            write_jpeg(path, contact_sheet(pairs, title=f"{names[0]}   |   {names[1]}"))
            lines.setdefault(folder, []).extend(
                f"{path.name}: {line}; reduced, masks drawn\n" for line in sheet.sources
            )
            found = np.array(counts).sum(axis=0).tolist()
            print(f"{path}: {path.stat().st_size / 1e3:.0f} kB, objects {names[0]} {found[0]}, {names[1]} {found[1]}")
    for folder, written in lines.items():
        (folder / "sources.txt").write_text("".join(written), encoding="utf-8")
    return 0


def sheets(data: Path, *, num_images: int, num_frames: int) -> Iterator[Sheet]:
    """Yield the sheet of eval-coco, then one per clip."""
    content = json.loads((data / "eval-coco" / "instances.json").read_text(encoding="utf-8"))
    free = {licence["id"] for licence in content["licenses"] if licence["url"] == CC_BY}
    listed = sorted((one for one in content["images"] if one["license"] in free), key=lambda one: one["id"])
    chosen = [listed[index] for index in spread(len(listed), num_images)]
    yield Sheet(
        "images",
        [load_image(data / "eval-coco" / "images" / one["file_name"]) for one in chosen],
        [f"{one['file_name']}: {one['attribution']}, CC BY 2.0, {one['url']}" for one in chosen],
        is_free=True,
    )
    for clip in json.loads((data / "clips" / "clips.json").read_text(encoding="utf-8"))["clips"]:
        path = data / "clips" / clip["file"]
        line = f"{clip['file']}: {clip['source']}, {clip['licence']}"
        yield Sheet(
            path.stem, frames(path, clip["frames"], num_frames), [line], is_free=clip["licence"].startswith("CC BY ")
        )


def spread(total: int, count: int) -> list[int]:
    """Return `count` positions at equal distances within 0..total-1, away from both ends; all if there are fewer."""
    return sorted({int(total * (index + 0.5) / count) for index in range(count)})


def frames(path: Path, total: int, count: int) -> list[ImageArray]:
    """Decode frames (H, W, 3) RGB of a video at equal distances."""
    positions = set(spread(total, count))
    with av.open(str(path)) as container:
        decoded = enumerate(container.decode(video=0))
        return [frame.to_ndarray(format="rgb24") for index, frame in decoded if index in positions]


def draw_pair(image: ImageArray, before: Segmenter, after: Segmenter) -> tuple[ImageArray, tuple[int, int]]:
    """Return both overlays side by side, reduced, and the numbers of objects."""
    found = [segmenter([image])[0] for segmenter in (before, after)]
    masks = [instance_masks(one) for one in found]
    colours = [colour_of(rank) for rank in range(len(masks[0]))]
    drawn = [
        reduce_image(draw_objects(image, objects_of(one, of), colours=chosen))
        for one, of, chosen in zip(found, masks, (colours, colours_like(masks, colours)), strict=True)
    ]
    gap = np.full((drawn[0].shape[0], GAP_PX, 3), 255, dtype=np.uint8)
    return np.concatenate([drawn[0], gap, drawn[1]], axis=1), (len(masks[0]), len(masks[1]))


def objects_of(found: Any, masks: Sequence[CropMask]) -> list[MessageObject]:
    """Return instances as objects without identity, for drawing."""
    rows = zip(found.boxes.tolist(), found.scores.tolist(), masks, strict=True)
    return [MessageObject(-1, (), tuple(box), score, mask, mask.area) for box, score, mask in rows]


def colours_like(masks: Sequence[Sequence[CropMask]], colours: Sequence[Colour]) -> list[Colour]:
    """Return the colours of the second masks: those of the first ones where they are the same object, else new ones."""
    ious = mask_ious(masks[0], masks[1], np.zeros(len(masks[1]), dtype=np.bool_))
    chosen = []
    for column in range(len(masks[1])):
        best = int(ious[:, column].argmax()) if len(masks[0]) else -1
        is_same = best >= 0 and ious[best, column] >= SAME_IOU
        chosen.append(colours[best] if is_same else colour_of(len(colours) + column))
    return chosen


def reduce_image(image: ImageArray) -> ImageArray:
    """Shrink an image to `PANEL_PX`."""
    scale = min(PANEL_PX / max(image.shape[:2]), 1.0)
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def contact_sheet(pairs: Sequence[ImageArray], *, title: str) -> ImageArray:
    """Return two columns of pairs, each padded with white to the largest, below a line of text."""
    height, width = (max(pair.shape[axis] for pair in pairs) + 3 * GAP_PX for axis in (0, 1))
    sheet = np.full((24 + height * -(-len(pairs) // 2), 2 * width, 3), 255, dtype=np.uint8)
    cv2.putText(sheet, title, (GAP_PX, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    for index, pair in enumerate(pairs):
        y, x = 24 + height * (index // 2), width * (index % 2)
        sheet[y : y + pair.shape[0], x : x + pair.shape[1]] = pair
    return sheet


def write_jpeg(path: Path, image: ImageArray) -> None:
    """Write an RGB image; create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    path.write_bytes(encoded.tobytes())


if __name__ == "__main__":
    raise SystemExit(main())
