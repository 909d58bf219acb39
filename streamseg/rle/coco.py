"""COCO's compressed run lengths: the mask of a full canvas as a short string.

Format, as read and written by pycocotools:
- Column-major run lengths over the whole image, starting with background.
- From the fourth length on, each is stored as the difference to the length two before.
- Each number is split into 5-bit digits, least significant first. Bit 5 of a digit is set if another one follows;
  bit 4 of the last digit is the sign.
- 48 is added to each digit to make it a printable character.
"""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from streamseg.errors import DataError
from streamseg.rle.run_mask import mask_runs
from streamseg.rle.runs import decode_runs
from streamseg.structures.arrays import IndexArray
from streamseg.structures.mask import CropMask, MaskSpace

__all__ = ["CocoRle", "coco_result", "coco_to_crop", "crop_to_coco", "pack_counts", "runs_to_coco", "unpack_counts"]

MAX_DIGITS = 7
"""Maximum digits per number: 35 bits hold every difference of two 32-bit lengths."""

IntegerArray = npt.NDArray[np.integer[Any]]


class CocoRle(TypedDict):
    """A mask in the format of `segmentation` in COCO's annotations and results."""

    size: list[int]
    """Size [H, W] of the canvas."""
    counts: str
    """Compressed run lengths."""


def crop_to_coco(mask: CropMask, size: tuple[int, int]) -> CocoRle:
    """Return a mask on a canvas of `size` (H, W) in COCO's format; raise DataError if it lies outside."""
    height, width = mask.crop_size
    return runs_to_coco(mask_runs(mask), (mask.x, mask.y, width, height), size)


def coco_result(
    mask: CropMask,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    score: float,
    *,
    image_id: int,
    category_id: int = 1,
) -> dict[str, Any]:
    """Return one object in COCO's results format, ready for JSON and `COCO.loadRes`.

    Args:
        mask: its mask, in the mask space.
        size: (H, W) of the mask space, the canvas of `segmentation`.
        box: its box xyxy; `bbox` is x, y, width, height to 1/100 px.
        score: its score, stored to 1/10000.
        image_id: id of the image in the data set.
        category_id: id of its category.

    Raises:
        DataError: the mask lies outside the canvas.
    """
    x0, y0, x1, y1 = box
    return {
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)],
        "score": round(score, 4),
        "segmentation": dict(crop_to_coco(mask, size)),
        "area": mask.area,
    }


def runs_to_coco(runs: IntegerArray, crop_box: tuple[int, int, int, int], size: tuple[int, int]) -> CocoRle:
    """Return the runs of a crop in COCO's format, equal to `pycocotools.mask.encode` of the full mask.

    Args:
        runs: run lengths (n,) from `encode_runs`.
        crop_box: box (x, y, w, h) of the crop on the canvas, integer pixels.
        size: size (H, W) of the canvas.

    Raises:
        DataError: the crop lies outside the canvas, or the runs do not add up to w * h.
    """
    return CocoRle(size=list(size), counts=pack_counts(canvas_counts(runs, crop_box, size)).decode("ascii"))


def canvas_counts(runs: IntegerArray, crop_box: tuple[int, int, int, int], size: tuple[int, int]) -> IndexArray:
    """Convert the runs of one crop to run lengths (m,) over a whole canvas of `size` (H, W)."""
    x, y, width, height = crop_box
    canvas_height, canvas_width = size
    if min(x, y, width, height) < 0 or x + width > canvas_width or y + height > canvas_height:
        raise DataError(f"a crop of {width}x{height} at ({x}, {y}) lies outside {canvas_width}x{canvas_height}")
    edges = np.cumsum(runs, dtype=np.int64)
    total = int(edges[-1]) if len(edges) else 0
    if total != height * width:
        raise DataError(f"{len(runs)} runs add up to {total} pixels, a crop of {width}x{height} has {height * width}")
    stops: IntegerArray = edges[1::2]
    starts: IntegerArray = edges[0::2][: len(stops)]
    starts, stops = starts[stops > starts], stops[stops > starts]
    if height < canvas_height:
        starts, stops = _split_at_columns(starts, stops, height)
        # Rows outside the crop separate its columns, so no two pieces touch on the canvas.
        columns = starts // height
        shift = (columns + x) * canvas_height + y - columns * height
        starts, stops = starts + shift, stops + shift
    else:
        starts, stops = starts + x * canvas_height, stops + x * canvas_height
    bounds = np.empty(2 * len(starts) + 2, dtype=np.int64)
    bounds[0], bounds[-1] = 0, canvas_height * canvas_width
    bounds[1:-1:2], bounds[2:-1:2] = starts, stops
    counts = np.diff(bounds)
    return counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts


def _split_at_columns(starts: IntegerArray, stops: IntegerArray, height: int) -> tuple[IntegerArray, IntegerArray]:
    """Split [start, stop) pieces of column-major positions at the end of each column of `height`."""
    first_columns = starts // height
    num_pieces = (stops - 1) // height - first_columns + 1
    ends = np.cumsum(num_pieces)
    nth = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - num_pieces, num_pieces)
    columns = np.repeat(first_columns, num_pieces) + nth
    piece_starts = np.maximum(columns * height, np.repeat(starts, num_pieces))
    piece_stops = np.minimum((columns + 1) * height, np.repeat(stops, num_pieces))
    return piece_starts, piece_stops


def coco_to_crop(rle: CocoRle) -> CropMask:
    """Return the mask, cropped to its tight box; an empty mask has a crop of shape (0, 0).

    Raises:
        DataError: the size is not [H, W], the string is not in COCO's format, or its lengths do not fill the canvas.
    """
    size = rle["size"]
    if len(size) != 2 or any(not isinstance(side, int) or side < 0 for side in size):
        raise DataError(f"the size of a COCO mask must be [H, W], got {size}")
    height, width = size
    counts = unpack_counts(rle["counts"].encode("utf-8", "surrogatepass"))
    starts, stops = canvas_pieces(counts, (height, width))
    if len(starts) == 0:
        return CropMask(np.zeros((0, 0), dtype=np.bool_), 0, 0, MaskSpace.of((height, width)))
    left, right = int(starts[0]) // height, (int(stops[-1]) - 1) // height + 1
    is_within_column = starts // height == (stops - 1) // height
    if np.all(is_within_column):
        top, bottom = int((starts % height).min()), int(((stops - 1) % height).max()) + 1
    else:
        top, bottom = 0, height
    return cut_crop(counts, (height, width), (left, top, right - left, bottom - top))


def canvas_pieces(counts: IntegerArray, size: tuple[int, int]) -> tuple[IntegerArray, IntegerArray]:
    """Return the foreground as column-major [start, stop) positions, from counts over a canvas of `size` (H, W).

    Raises:
        DataError: a count is negative or the sum is not H * W.
    """
    total = int(counts.sum())
    num_pixels = size[0] * size[1]
    # Malicious counts may be so large that their sum overflows to the expected value.
    if total != num_pixels or (len(counts) and (int(counts.min()) < 0 or int(counts.max()) > num_pixels)):
        raise DataError(f"the counts add up to {total} pixels, a canvas of {size[1]}x{size[0]} has {num_pixels}")
    edges = np.cumsum(counts)
    stops = edges[1::2]
    starts = edges[0::2][: len(stops)]
    return starts[stops > starts], stops[stops > starts]


def cut_crop(counts: IntegerArray, size: tuple[int, int], crop_box: tuple[int, int, int, int]) -> CropMask:
    """Extract the crop (x, y, w, h) from counts over a canvas of `size` (H, W); decodes only its columns."""
    x, y, width, height = crop_box
    low, high = x * size[0], (x + width) * size[0]
    edges = np.clip(np.cumsum(counts), low, high)
    band = decode_runs(np.diff(edges, prepend=low), (size[0], width))  # (H, w)
    return CropMask(band[y : y + height].copy(order="F"), x, y, MaskSpace.of(size))


def pack_counts(counts: IntegerArray) -> bytes:
    """Return COCO's compressed string of run lengths (m,), each below 2**32."""
    numbers = counts.astype(np.int64)
    numbers[3:] -= counts[1:-2].astype(np.int64)
    digits = np.empty((len(numbers), MAX_DIGITS), dtype=np.uint8)
    is_used = np.zeros((len(numbers), MAX_DIGITS), dtype=np.bool_)
    is_open = np.ones(len(numbers), dtype=np.bool_)
    for place in range(MAX_DIGITS):
        is_used[:, place] = is_open
        digit = numbers & 31
        numbers >>= 5
        # The sign bit of the last digit must match the remaining bits: all zeros or all ones.
        is_more = np.where(digit & 16, numbers != -1, numbers != 0)
        digits[:, place] = digit + 48 + (is_more << 5)
        is_open &= is_more
        if not is_open.any():
            break
    return digits[is_used].tobytes()


def unpack_counts(text: bytes) -> IndexArray:
    """Return the run lengths (m,) of COCO's compressed string; they may be negative if the string is invalid.

    Raises:
        DataError: a character is not a digit, or a number is unterminated or too long.
    """
    digits = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    if len(digits) == 0:
        return digits
    if digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
        raise DataError(f"{text[:20]!r}… is not a compressed COCO mask")
    lasts = np.flatnonzero(digits & 32 == 0)
    firsts = np.concatenate(([0], lasts[:-1] + 1))
    num_digits = lasts - firsts + 1
    if num_digits.max() > MAX_DIGITS:
        raise DataError(
            f"{text[:20]!r}… contains a number of {num_digits.max()} digits, at most {MAX_DIGITS} are allowed"
        )
    places = np.arange(len(digits)) - np.repeat(firsts, num_digits)
    numbers = np.add.reduceat((digits & 31) << (5 * places), firsts)
    numbers -= np.where(digits[lasts] & 16, np.int64(1) << (5 * num_digits), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
