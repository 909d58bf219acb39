"""The networks: layers, decoding of their outputs, suppression of duplicates, and how they are stored.

network      YOLOv8-seg: backbone, neck, segmentation head
decoding     raw outputs to boxes, scores and mask coefficients
nms          suppression of boxes that overlap a better one
preprocess   images to the network's input (letterbox)
state_dict   architecture and tensors from a checkpoint's names and shapes
refiner      the second, small network that corrects each mask and estimates its quality
"""
