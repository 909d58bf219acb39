"""Segmentation of everything in an image by one pass of one network.

    images ─► letterbox ─► engine (network, decoding) ─► NMS ─► Instances ─► instance_masks

inputs       everything that people pass as an image
segmenter    `Segmenter`: images in, `Instances` out
results      `ImageInstances`: the instances of one image, with masks, overlays and conversions
candidates   selection of detections: score threshold, NMS and search regions
close_ups    what enlarged windows around new prompts and small targets show
duplicates   scores for ranking, in which second outlines of an object count less
embedding    appearance embeddings of objects
extents      boxes for evaluation, corrected by the extents of masks
masks        `instance_masks`: pixel masks of selected rows
resampling   bilinear resampling of mask logits
windows      where these windows are
optional     packages that only conversions need
"""

from streamseg.segmentation.masks import instance_masks
from streamseg.segmentation.results import ImageInstances
from streamseg.segmentation.segmenter import Segmenter

__all__ = ["ImageInstances", "Segmenter", "instance_masks"]
