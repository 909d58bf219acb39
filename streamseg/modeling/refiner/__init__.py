"""The refiner: a second, small network that corrects each object's mask and estimates its quality.

FastSAM's paper names two weaknesses (arXiv 2306.12156, section 6): ragged masks of small objects, and scores that do
not follow the masks' quality. Both result from masks that are a single product of coefficients and prototypes, on one
coarse grid for all objects. The refiner processes every object on a raster of its own. Its inputs are the object's
mask logits, the prototypes and the pixels of the source image at the same cells. It predicts a correction of the
logits, and the IoU to expect of the corrected mask (as Mask Scoring R-CNN, arXiv 1903.00241; point by point and at a
finer scale as PointRend, arXiv 1912.08193).

It is trained on top of finished weights, which remain unchanged, and is stored in their file. It runs in torch, or as
a separate graph in ONNX Runtime, which takes a third of the time on a CPU.

network        the refiner's layers, and calibrated scores
serialization  state dict, metadata text and ONNX graph
views          an object's logits, maps and pixels sampled on its raster
"""

from streamseg.modeling.refiner.network import Refiner, RefinerOutput, calibrated_scores, product_logits
from streamseg.modeling.refiner.serialization import (
    REFINER_PREFIX,
    refiner_from_state_dict,
    refiner_from_text,
    refiner_to_graph,
    refiner_to_text,
)
from streamseg.modeling.refiner.views import (
    REFINER_RASTER,
    ObjectViews,
    object_pixels,
    object_views,
    raster_grid,
    raster_sides,
)

__all__ = [
    "REFINER_PREFIX",
    "REFINER_RASTER",
    "ObjectViews",
    "Refiner",
    "RefinerOutput",
    "calibrated_scores",
    "object_pixels",
    "object_views",
    "product_logits",
    "raster_grid",
    "raster_sides",
    "refiner_from_state_dict",
    "refiner_from_text",
    "refiner_to_graph",
    "refiner_to_text",
]
