"""Words tier: open-vocabulary detectors as a source of labels for the instances that are segmented already.

    frame ─► detector, every n-th frame ─► join with instances by overlap ─► labels of tracks ─► Selection

detector    the interface of detectors, and the boxes they find
join        the instances that show what was detected
labels      the labels of tracks, carried from detection to detection
matcher     the text matcher of a run with a detector
suppression non-maximum suppression of raw detections
yolo_layout the forms of YOLO-World's graphs, and how an image enters
yolo_world  YOLO-World as an ONNX graph, with class embeddings inside or beside
yolo_loading  a folder of YOLO-World, with the names of its classes
grounding   OmDet-Turbo, Grounding DINO and SAM 3 of transformers
loading     a folder as a detector
"""

from streamseg.tiers.words.detector import Detections, Detector
from streamseg.tiers.words.matcher import DetectorMatcher

__all__ = ["Detections", "Detector", "DetectorMatcher"]
