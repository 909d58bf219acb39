"""Masks as run lengths, with numpy only.

Runs are column-major and their first counts background: COCO's semantics, scoped to a crop. `runs`
converts a crop to runs and back; `coco` places runs on the full canvas in COCO's compressed form,
byte for byte what pycocotools writes, at a cost that grows with the runs and not with the canvas.
"""

from streamseg.rle.coco import CocoRle, coco_to_crop, crop_to_coco, pack_counts, runs_to_coco, unpack_counts
from streamseg.rle.runs import decode_runs, encode_runs

__all__ = [
    "CocoRle",
    "coco_to_crop",
    "crop_to_coco",
    "decode_runs",
    "encode_runs",
    "pack_counts",
    "runs_to_coco",
    "unpack_counts",
]
