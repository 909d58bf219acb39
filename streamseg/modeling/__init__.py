"""The networks: layers, decoding of their outputs, non-maximum suppression and serialization.

network      contract of all networks, shared layers
yolov8       YOLOv8-seg, the network of the official files
nanodet      NanoDet-seg, the network of the default weights
sizes        networks by the names of their sizes
decoding     raw predictions to boxes, scores and mask coefficients
nms          non-maximum suppression inside exported graphs
preprocess   images to the network's input (letterbox)
state_dict   architecture and tensors from the names and shapes of a state dict
refiner      the second, small network that corrects each mask and estimates its quality
"""
