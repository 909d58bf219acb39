"""Segmentation on the device that runs the network, with one copy up and one back per batch.

letterbox       whole images to the network's input
suppression     greedy suppression with static shapes
selection       threshold, suppression and search regions for a batch
sampling        mask logits on rasters over the boxes
lab             colour bins
appearance      appearance embeddings
object_pixels   pixels of objects from image pyramids
refining        the refiner
mask_runs       masks in pixels, as runs
shapes          the shapes of a batch, and capacities
step            the whole work on the device for one batch
slab            several tensors in one buffer
accelerator     what differs between CUDA (stream, pinned memory, graphs) and the CPU
batches         batches in flight: buffers and graphs by shape, tickets
results         instances from the results
segmentation    the segmentation of `engine: device`
"""

from streamseg.segmentation.device.segmentation import DeviceSegmentation, PendingInstances

__all__ = ["DeviceSegmentation", "PendingInstances"]
