"""Label propagation: masks of targets carried from frame to frame by the similarity of features.

settings      radius, neighbours, temperature, memory
affinity      labels of cells by their most similar cells in other frames
tiles         the cells near targets, in tiles that share a window
basis         principal components of features
grid_memory   features and labels of all frames on one grid
memory        first and recent frames of all targets, their positions and motion
extent        areas, centres and boxes of masks
propagator    masks of all targets of one source, frame by frame
agreement     proposals that agree with a propagated mask
groups        proposals that together fill a box
pixels        propagated masks at the size of the image
"""

from streamseg.propagation.affinity import largest
from streamseg.propagation.agreement import Proposals
from streamseg.propagation.groups import group_in_box, group_in_mask
from streamseg.propagation.pixels import cell_shares, enlarged, image_mask, mask_iou
from streamseg.propagation.propagator import LabelPropagator
from streamseg.propagation.settings import PropagationSettings

__all__ = [
    "LabelPropagator",
    "PropagationSettings",
    "Proposals",
    "cell_shares",
    "enlarged",
    "group_in_box",
    "group_in_mask",
    "image_mask",
    "largest",
    "mask_iou",
]
