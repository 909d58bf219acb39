"""A second look at each object: its mask corrected, and judged.

FastSAM's paper names two weaknesses (arXiv 2306.12156, section 6): ragged masks on small objects, and scores that
do not follow the masks' quality. Both come from masks that are one product of coefficients and prototypes, the same
coarse grid for all objects. Here a small network looks at every object on a raster of its own: at its logits, at the
prototypes below them and at the pixels of the source image, and answers with what has to be added to the logits, and
with the IoU that it expects of the outcome (as Mask Scoring R-CNN does, arXiv 1903.00241; point by point and at a
finer scale as PointRend, arXiv 1912.08193).

It is trained on top of finished weights, which stay as they are, and is kept in their file. It runs in torch, or as a
graph of its own in ONNX Runtime, which takes a third of the time on a CPU.
"""

from streamseg.modeling.refiner.network import RefinerOutput, Refiner, calibrated, product_logits
from streamseg.modeling.refiner.serialization import (
    REFINER_PREFIX,
    VERSION,
    refiner_from_state_dict,
    refiner_from_text,
    refiner_to_graph,
    refiner_to_text,
)
from streamseg.modeling.refiner.views import REFINER_RASTER, ObjectViews, object_pixels, raster_grid, raster_sides, views

__all__ = [
    "REFINER_PREFIX",
    "REFINER_RASTER",
    "VERSION",
    "Refined",
    "Refiner",
    "Views",
    "calibrated",
    "object_pixels",
    "product_logits",
    "raster_grid",
    "raster_sides",
    "refiner_from_state_dict",
    "refiner_from_text",
    "refiner_to_graph",
    "refiner_to_text",
    "views",
]
