"""Masks as run lengths, with NumPy only.

runs      converts a crop to runs and back
run_mask  a mask that was computed as runs
coco      places runs on the full canvas in COCO's compressed form

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
from streamseg.rle.run_mask import RunMask, Runs, mask_runs, runs_of_columns
from streamseg.rle.runs import decode_runs, encode_all_runs, encode_columns, encode_runs

__all__ = [
    "CocoRle",
    "RunMask",
    "Runs",
    "coco_result",
    "coco_to_crop",
    "crop_to_coco",
    "decode_runs",
    "encode_all_runs",
    "encode_columns",
    "encode_runs",
    "mask_runs",
    "pack_counts",
    "runs_of_columns",
    "runs_to_coco",
    "unpack_counts",
]
