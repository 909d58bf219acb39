"""The four mask encodings, and buffers that contradict themselves."""

import numpy as np
import pytest
from pycocotools import mask as reference

from streamseg.errors import WireError
from streamseg.rle import RunMask, Runs, encode_runs
from streamseg.structures.mask import CropMask
from streamseg.wire.buffers import Buffer, pack_buffer
from streamseg.wire.masks import MASK_ENCODINGS, read_masks, write_masks
from tests.support.messages import disc

SIZE = (20, 30)
MASKS = [CropMask(disc(7), 2, 3), CropMask(np.ones((4, 5), np.bool_), 20, 10)]


def _read(buffers: list[Buffer], num_masks: int = 2, size: tuple[int, int] = SIZE) -> list[CropMask]:
    return read_masks({buffer.entry.name: (buffer.entry, buffer.body) for buffer in buffers}, num_masks, size)


def _changed(encoding: str, name: str, array: np.ndarray) -> list[Buffer]:
    """Return the encoded `MASKS` with the values of one buffer replaced."""
    return [
        pack_buffer(name, buffer.entry.encoding, array) if buffer.entry.name == name else buffer
        for buffer in write_masks(MASKS, SIZE, encoding)
    ]


@pytest.mark.parametrize("encoding", MASK_ENCODINGS)
@pytest.mark.parametrize("compression", ["none", "zlib"])
@pytest.mark.parametrize(
    ("masks", "size"),
    [
        pytest.param([], SIZE, id="none"),
        pytest.param([], (0, 0), id="none on empty canvas"),
        pytest.param(MASKS, SIZE, id="two"),
        pytest.param([CropMask(np.zeros((0, 0), np.bool_), 0, 0)], SIZE, id="empty mask"),
        pytest.param([CropMask(np.zeros((0, 5), np.bool_), 3, 20)], SIZE, id="crop without rows at border"),
        pytest.param([CropMask(np.zeros((4, 5), np.bool_), 3, 2)], SIZE, id="crop without foreground"),
        pytest.param([CropMask(np.ones(SIZE, np.bool_), 0, 0)], SIZE, id="whole canvas"),
        pytest.param([CropMask(np.eye(20, dtype=np.bool_), 10, 0)], SIZE, id="full height, diagonal"),
        pytest.param([CropMask(np.asfortranarray(disc(9)), 0, 0)], SIZE, id="column-major in memory"),
        pytest.param([CropMask(disc(19)[2:9, ::3], 0, 0)], SIZE, id="strided view"),
    ],
)
def test_masks_round_trip(masks, size, encoding, compression):
    read = _read(write_masks(masks, size, encoding, compression), len(masks), size)
    assert len(read) == len(masks)
    for found, original in zip(read, masks, strict=True):
        assert (found.x, found.y) == (original.x, original.y)
        assert found.crop.dtype == np.bool_
        np.testing.assert_array_equal(found.crop, original.crop)


def test_coco_strings_equal_pycocotools():
    masks, offsets, _ = write_masks(MASKS, SIZE, "coco-rle")
    bounds = np.frombuffer(offsets.body, "<u4")
    for nth, mask in enumerate(MASKS):
        expected = reference.encode(np.asfortranarray(mask.full(SIZE).view(np.uint8)))["counts"]
        assert masks.body[bounds[nth] : bounds[nth + 1]] == expected


def test_bits_are_row_major_and_start_a_byte_per_mask():
    masks, offsets, _ = write_masks([CropMask(np.array([[1, 0, 0], [0, 0, 1]], np.bool_), 0, 0)] * 2, SIZE, "bits-crop")
    assert masks.body == bytes([0b10000100] * 2)
    assert np.frombuffer(offsets.body, "<u4").tolist() == [0, 1, 2]


def test_best_object_is_on_top_in_label_map():
    masks = [CropMask(np.ones((2, 2), np.bool_), 0, 0), CropMask(np.ones((2, 3), np.bool_), 0, 0)]
    labels = np.frombuffer(write_masks(masks, (2, 4), "label-u16")[0].body, "<u2").reshape(2, 4)
    assert labels.tolist() == [[1, 1, 2, 0]] * 2
    assert [mask.area for mask in _read(write_masks(masks, (2, 4), "label-u16"), 2, (2, 4))] == [4, 2]


U4, U1, U2 = (lambda values, code=code: np.array(values, dtype=code) for code in ("<u4", "|u1", "<u2"))
NUM_RUNS = len(write_masks(MASKS, SIZE, "rle-crop-u32")[0].body) // 4
CROPS = [[2, 3, 7, 7], [20, 10, 5, 4]]


@pytest.mark.parametrize(
    ("buffers", "error"),
    [
        pytest.param(_changed("rle-crop-u32", "mask_offsets", U4([0, 9])), "shape", id="too few offsets"),
        pytest.param(_changed("rle-crop-u32", "mask_offsets", U4([1, 9, NUM_RUNS])), "must increase", id="from 1"),
        pytest.param(
            _changed("rle-crop-u32", "mask_offsets", U4([0, 99, NUM_RUNS])), "must increase", id="decreasing offsets"
        ),
        pytest.param(_changed("rle-crop-u32", "mask_offsets", U4([0, 2, 3])), "must increase", id="trailing values"),
        pytest.param(_changed("rle-crop-u32", "mask_offsets", U2([0, 2, 3])), "dtype", id="offsets of 16 bits"),
        pytest.param(_changed("rle-crop-u32", "mask_crops", U4(CROPS[:1])), "shape", id="too few crops"),
        pytest.param(_changed("rle-crop-u32", "mask_crops", U4([[2, 3, 7, 7], [26, 10, 5, 4]])), "outside", id="right"),
        pytest.param(_changed("rle-crop-u32", "mask_crops", U4([[2, 3, 7, 7], [20, 17, 5, 4]])), "outside", id="below"),
        pytest.param(_changed("rle-crop-u32", "mask_crops", U4([[2**32 - 1] * 4] * 2)), "outside", id="32 bits wrap"),
        pytest.param(_changed("rle-crop-u32", "mask_crops", U4([[2, 3, 7, 6], [20, 10, 5, 4]])), "add up", id="sum"),
        pytest.param(_changed("rle-crop-u32", "masks", U4([[1]])), "shape", id="runs in two dimensions"),
        pytest.param(
            _changed("bits-crop", "mask_crops", U4([[2, 3, 7, 9], [20, 10, 5, 4]])), "needs 8 bytes", id="bits"
        ),
        pytest.param(_changed("bits-crop", "masks", U2([1])), "dtype", id="bits of 16 bits"),
        pytest.param(_changed("coco-rle", "mask_crops", U4([[2, 3, 6, 7], CROPS[1]])), "extends beyond", id="coco"),
        pytest.param(_changed("label-u16", "masks", U2(np.full(SIZE, 3))), "label 3", id="label without object"),
        pytest.param(_changed("label-u16", "masks", U2(np.zeros((30, 20)))), "shape", id="map of different size"),
        pytest.param(write_masks(MASKS, SIZE, "coco-rle")[1:], "'masks' is missing", id="no masks"),
        pytest.param(write_masks(MASKS, SIZE, "coco-rle")[:2], "'mask_crops' is missing", id="no crops"),
        pytest.param(write_masks(MASKS, SIZE, "coco-rle")[::2], "'mask_offsets' is missing", id="no offsets"),
    ],
)
def test_contradictory_buffers_are_rejected(buffers, error):
    with pytest.raises(WireError, match=error):
        _read(buffers)


def test_unknown_encoding_is_rejected():
    masks, *tables = write_masks(MASKS, SIZE, "rle-crop-u32")
    renamed = pack_buffer("masks", "polygons", np.frombuffer(masks.body, "<u4"))
    with pytest.raises(WireError, match="unknown mask encoding 'polygons'"):
        _read([renamed, *tables])


@pytest.mark.parametrize("encoding", ["rle-crop-u32", "bits-crop", "coco-rle"])
def test_too_large_masks_are_rejected_before_allocation(encoding):
    # 600 crops of 32768 x 32768 pixels would be 644 GB.
    crops = np.tile(np.array([[0, 0, 32768, 32768]], "<u4"), (600, 1))
    buffers = [
        pack_buffer("masks", encoding, np.zeros(0, "<u4" if encoding == "rle-crop-u32" else "|u1")),
        pack_buffer("mask_offsets", "raw", np.zeros(601, "<u4")),
        pack_buffer("mask_crops", "raw", crops),
    ]
    with pytest.raises(WireError, match="at most 536870912"):
        _read(buffers, 600, (32768, 32768))


def test_flat_coco_crops_are_limited_by_canvas_height():
    crops = np.tile(np.array([[0, 0, 32768, 1]], "<u4"), (600, 1))
    buffers = [
        pack_buffer("masks", "coco-rle", np.zeros(0, "|u1")),
        pack_buffer("mask_offsets", "raw", np.zeros(601, "<u4")),
        pack_buffer("mask_crops", "raw", crops),
    ]
    with pytest.raises(WireError, match="at most 536870912"):
        _read(buffers, 600, (32768, 32768))


@pytest.mark.parametrize("corner", [(28, 0), (0, 15), (-1, 0)])
def test_writing_mask_outside_mask_space_is_rejected(corner):
    with pytest.raises(WireError, match="outside the mask space of 30x20"):
        write_masks([CropMask(disc(7), *corner)], SIZE, "rle-crop-u32")


@pytest.mark.parametrize("encoding", MASK_ENCODINGS)
@pytest.mark.parametrize("which", [{0, 1, 2}, {1}, set()], ids=["all", "one", "none"])
def test_masks_known_as_runs_are_written_like_pixels(encoding: str, which: set[int]) -> None:
    crops = [np.eye(3, 4, dtype=bool), np.ones((2, 2), bool), np.zeros((2, 3), bool)]
    masks = [CropMask(crop, 1, 2) for crop in crops]
    known = [
        RunMask(Runs(encode_runs(mask.crop), mask.crop.shape, mask.area), 1, 2) if number in which else mask
        for number, mask in enumerate(masks)
    ]
    bodies = [[one.body for one in write_masks(each, (9, 9), encoding)] for each in (masks, known)]
    assert bodies[0] == bodies[1]
