"""Everything in a picture, found by one pass of one network.

    images ─► letterbox ─► engine (network, decoding) ─► NMS ─► Instances ─► instance_masks

`Segmenter` is the stage; `instance_masks` makes pixels of the rows that somebody wants.
"""

from streamseg.segmentation.masks import instance_masks
from streamseg.segmentation.segmenter import Segmenter

__all__ = ["Segmenter", "instance_masks"]
