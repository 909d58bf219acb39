"""Selection of detections on the device that runs the network, with one copy up and one back per batch.

suppression     greedy suppression with static shapes
selection       threshold, suppression and search regions for a batch
step            the whole work on the device for one batch
slab            several tensors in one buffer
accelerator     what differs between CUDA (stream, pinned memory, graphs) and the CPU
batches         batches in flight: buffers and graphs by shape, tickets
detector        the detector of `engine: device`
"""

from streamseg.segmentation.device.detector import DeviceDetector

__all__ = ["DeviceDetector"]
