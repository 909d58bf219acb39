"""All masks of a message in one buffer, in one of four encodings.

masks         the concatenated masks, see below
mask_offsets  <u4 (N + 1,): mask n is masks[offsets[n]:offsets[n + 1]]; [0] = 0; absent in label-u16
mask_crops    <u4 (N, 4): x, y, w, h of each mask's crop in the mask space; the outside is background

rle-crop-u32  <u4: run lengths of the crop, column-major, starting with background; the sum is w * h
bits-crop     |u1: pixels of the crop, row-major, one bit each, most significant first; each mask starts
              a new byte, and the padding bits are 0
coco-rle      |u1: COCO's compressed string over the whole mask space (`counts`, ASCII)
label-u16     <u2 (H, W): the mask space itself; 0 is background, n + 1 is mask n. One label per pixel:
              where masks overlap, the first object (highest score) is on top. The covered pixels are
              lost, so a decoded mask is the visible part; `area` in the header still counts the whole mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from streamseg.errors import DataError, WireError
from streamseg.rle.coco import canvas_counts, canvas_pieces, cut_crop, pack_counts, unpack_counts
from streamseg.rle.run_mask import RunMask, mask_runs
from streamseg.rle.runs import decode_runs, encode_all_runs
from streamseg.structures.arrays import IndexArray
from streamseg.structures.mask import CropMask
from streamseg.wire.buffers import Buffer, BufferEntry, Compression, pack_buffer, read_array
from streamseg.wire.json_fields import MAX_MASK_PIXELS, MAX_OBJECTS

__all__ = ["MASK_ENCODINGS", "MaskEncoding", "read_masks", "write_masks"]

MaskEncoding = Literal["rle-crop-u32", "bits-crop", "coco-rle", "label-u16"]

Size = tuple[int, int]
Box = tuple[int, int, int, int]
Encoded = tuple[npt.NDArray[Any], npt.NDArray[np.uint32]]


def write_masks(
    masks: Sequence[CropMask], size: Size, encoding: MaskEncoding, compression: Compression = "none"
) -> list[Buffer]:
    """Encode all masks of a message to buffers.

    Args:
        masks: N crops, best first; N may be 0.
        size: (H, W) of the mask space.
        encoding: format of the `masks` buffer.
        compression: compression of the `masks` buffer; the two tables are small and never compressed.

    Raises:
        WireError: a crop lies outside the mask space, there are too many masks, or the encoding is unknown.
    """
    _check_encoding(encoding)
    if len(masks) > MAX_OBJECTS:
        raise WireError(f"a message holds at most {MAX_OBJECTS} objects, got {len(masks)}")
    crops = np.array([_box(mask) for mask in masks], dtype=np.int64).reshape(-1, 4)
    _check_crops(crops, size)
    crop_buffer = pack_buffer("mask_crops", "raw", crops.astype(np.uint32))
    if encoding == "label-u16":
        return [pack_buffer("masks", encoding, _label_map(masks, size), compression), crop_buffer]
    codec = _CODECS[encoding]
    joined, offsets = codec.encode(masks, size)
    return [
        pack_buffer("masks", encoding, joined, compression),
        pack_buffer("mask_offsets", "raw", offsets),
        crop_buffer,
    ]


def read_masks(
    buffers: Mapping[str, tuple[BufferEntry, bytes | memoryview]], num_masks: int, size: Size
) -> list[CropMask]:
    """Decode the masks encoded by `write_masks`, in the same order and with the same crops.

    Raises:
        WireError: a buffer is missing, or contradicts itself, the header or the limits.
    """
    crops = _read(buffers, "mask_crops", "<u4", (num_masks, 4)).astype(np.int64)
    _check_crops(crops, size)
    boxes: list[Box] = [(x, y, w, h) for x, y, w, h in crops.tolist()]
    encoding = buffers["masks"][0].encoding if "masks" in buffers else "rle-crop-u32"
    _check_encoding(encoding)
    if encoding == "label-u16":
        labels = _read(buffers, "masks", "<u2", size)
        if labels.size and int(labels.max()) > num_masks:
            raise WireError(f"the label map contains label {labels.max()}, but the message has {num_masks} objects")
        return [
            CropMask(labels[y : y + h, x : x + w] == label, x, y) for label, (x, y, w, h) in enumerate(boxes, start=1)
        ]
    if encoding == "coco-rle":
        _check_pixels(size[0] * int(crops[:, 2].sum()))  # whole columns of the canvas are decoded
    codec = _CODECS[encoding]
    values = _read(buffers, "masks", codec.dtype, (None,))
    offsets = _read(buffers, "mask_offsets", "<u4", (num_masks + 1,))
    if offsets[0] != 0 or offsets[-1] != len(values) or bool((offsets[1:] < offsets[:-1]).any()):
        raise WireError(f"'mask_offsets' must increase from 0 to {len(values)}, the length of 'masks'")
    bounds = offsets.tolist()
    try:
        return [
            codec.decode(values[start:stop], box, size)
            for start, stop, box in zip(bounds[:-1], bounds[1:], boxes, strict=True)
        ]
    except DataError as error:
        raise WireError(f"invalid mask: {error}") from error


def _read(
    buffers: Mapping[str, tuple[BufferEntry, bytes | memoryview]], name: str, dtype: str, shape: tuple[int | None, ...]
) -> Any:
    if name not in buffers:
        raise WireError(f"buffer {name!r} is missing")
    entry, body = buffers[name]
    return read_array(entry, body, dtype, shape)


def _check_encoding(encoding: str) -> None:
    if encoding not in MASK_ENCODINGS:
        raise WireError(f"unknown mask encoding {encoding[:40]!r}; use one of {', '.join(MASK_ENCODINGS)}")


def _check_crops(crops: IndexArray, size: Size) -> None:
    """Check that crops (N, 4) x, y, w, h lie in the mask space and respect the pixel limit."""
    ends = crops[:, :2] + crops[:, 2:]
    if bool((crops < 0).any()) or bool((ends > (size[1], size[0])).any()):
        raise WireError(f"'mask_crops': a crop lies outside the mask space of {size[1]}x{size[0]}")
    _check_pixels(int(np.prod(crops[:, 2:], axis=1).sum()))


def _check_pixels(num_pixels: int) -> None:
    if num_pixels > MAX_MASK_PIXELS:
        raise WireError(f"the crops have {num_pixels} pixels in total, at most {MAX_MASK_PIXELS} are allowed")


def _encode_runs(masks: Sequence[CropMask], size: Size) -> Encoded:
    if not any(isinstance(mask, RunMask) for mask in masks):
        return encode_all_runs([mask.crop for mask in masks])
    return _joined([mask_runs(mask) for mask in masks], np.uint32)


def _decode_runs(values: npt.NDArray[Any], box: Box, size: Size) -> CropMask:
    x, y, width, height = box
    return CropMask(decode_runs(values, (height, width)), x, y)


def _encode_bits(masks: Sequence[CropMask], size: Size) -> Encoded:
    return _joined([np.packbits(mask.crop.ravel()) for mask in masks], np.uint8)


def _decode_bits(values: npt.NDArray[Any], box: Box, size: Size) -> CropMask:
    x, y, width, height = box
    if len(values) != -(-width * height // 8):
        raise WireError(f"a mask of {width}x{height} needs {-(-width * height // 8)} bytes, got {len(values)}")
    return CropMask(np.unpackbits(values, count=width * height).reshape(height, width).view(np.bool_), x, y)


def _encode_coco(masks: Sequence[CropMask], size: Size) -> Encoded:
    runs = [mask_runs(mask) for mask in masks]
    counts = [canvas_counts(one, _box(mask), size) for one, mask in zip(runs, masks, strict=True)]
    return _joined([np.frombuffer(pack_counts(one), dtype=np.uint8) for one in counts], np.uint8)


def _decode_coco(values: npt.NDArray[Any], box: Box, size: Size) -> CropMask:
    counts = unpack_counts(values.tobytes())
    starts, stops = canvas_pieces(counts, size)
    mask = cut_crop(counts, size, box)
    if mask.area != int((stops - starts).sum()):
        raise WireError("a COCO mask extends beyond its crop")
    return mask


def _box(mask: CropMask) -> Box:
    height, width = mask.crop_size
    return mask.x, mask.y, width, height


def _joined(pieces: Sequence[npt.NDArray[Any]], dtype: type[np.unsignedinteger[Any]]) -> Encoded:
    offsets = np.zeros(len(pieces) + 1, dtype=np.uint32)
    np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
    return np.concatenate([np.zeros(0, dtype=dtype), *pieces]), offsets


def _label_map(masks: Sequence[CropMask], size: Size) -> npt.NDArray[np.uint16]:
    labels = np.zeros(size, dtype=np.uint16)
    for label, mask in reversed(list(enumerate(masks, start=1))):
        height, width = mask.crop.shape
        labels[mask.y : mask.y + height, mask.x : mask.x + width][mask.crop] = label
    return labels


class _Codec(NamedTuple):
    dtype: str
    encode: Callable[[Sequence[CropMask], Size], Encoded]
    """Returns the values of all masks, concatenated, and their offsets."""
    decode: Callable[[npt.NDArray[Any], Box, Size], CropMask]


_CODECS: Final = {
    "rle-crop-u32": _Codec("<u4", _encode_runs, _decode_runs),
    "bits-crop": _Codec("|u1", _encode_bits, _decode_bits),
    "coco-rle": _Codec("|u1", _encode_coco, _decode_coco),
}
MASK_ENCODINGS: Final[tuple[str, ...]] = (*_CODECS, "label-u16")
