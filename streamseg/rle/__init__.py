"""Masks as run lengths, with NumPy only.

runs   converts a crop to runs and back
coco   places runs on the full canvas in COCO's compressed form

Runs are column-major and start with background: COCO's semantics, restricted to a crop. The compressed form is equal
to pycocotools' byte for byte, at a cost that grows with the number of runs and not with the canvas.
"""

from streamseg.rle.coco import (
    CocoRle,
    coco_result,
    coco_to_crop,
    crop_to_coco,
    pack_counts,
    runs_to_coco,
    unpack_counts,
)
from streamseg.rle.runs import decode_runs, encode_all_runs, encode_runs

__all__ = [
    "CocoRle",
    "coco_result",
    "coco_to_crop",
    "crop_to_coco",
    "decode_runs",
    "encode_all_runs",
    "encode_runs",
    "pack_counts",
    "runs_to_coco",
    "unpack_counts",
]
