"""Frames of a run that are worth labelling, as images and annotations of a COCO data set. Pure: no file, no clock.

occasions    why a frame is worth it: a followed object was lost, uncertain, corrected by a click, or removed
records      images and annotations, and the lines of the journal that keeps them
"""

from streamseg.collecting.occasions import Occasion, OccasionFinder, Reason
from streamseg.collecting.records import Record, image_record, instances_json

__all__ = ["Occasion", "OccasionFinder", "Reason", "Record", "image_record", "instances_json"]
