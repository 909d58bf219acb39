"""Pure functions on boxes, masks and coordinate frames.

Boxes are xyxy in continuous pixels: a box that covers pixels 2 and 3 is [2, 4].

letterbox      scaling and padding of an image to the network's input
boxes          areas, overlaps, non-maximum suppression
logits         mask logits at points and on rasters over boxes
"""

from streamseg.geometry.boxes import box_area, box_intersection, box_iou, clip_boxes, nms, nms_rows
from streamseg.geometry.letterbox import Letterbox, letterbox, letterbox_into
from streamseg.geometry.logits import logits_in_boxes, raster_logits, raster_points, sample_logits, silhouettes

__all__ = [
    "Letterbox",
    "box_area",
    "box_intersection",
    "box_iou",
    "clip_boxes",
    "letterbox",
    "letterbox_into",
    "logits_in_boxes",
    "nms",
    "nms_rows",
    "raster_logits",
    "raster_points",
    "sample_logits",
    "silhouettes",
]
