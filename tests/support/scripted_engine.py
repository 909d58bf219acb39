"""An engine whose objects are written down, and the images that select them."""

import numpy as np

from streamseg.engines import Raw


class ScriptedEngine:
    """Engine that returns scripted objects at the first anchors.

    Args:
        objects: a list of (box in input pixels, score) for each value of the centre pixel of an image.
    """

    name = "scripted"
    refiner = None
    suppression = None
    device = "cpu"
    half = False
    imgsz = 96

    def __init__(self, objects, num_anchors=40, half=False, input_size=None, max_batch=None):
        self.objects = objects
        self.input_size = input_size
        self.max_batch = max_batch
        self.num_anchors = num_anchors
        self.shapes = []
        self.closed = False
        self.dtype = np.float16 if half else np.float32

    def run(self, images):
        batch, height, width, _ = images.shape
        self.shapes.append(images.shape)
        boxes = np.zeros((batch, self.num_anchors, 4), np.float32)
        scores = np.zeros((batch, self.num_anchors), np.float32)
        for row, image in enumerate(images):
            for anchor, (box, score) in enumerate(self.objects.get(int(image[height // 2, width // 2, 0]), [])):
                boxes[row, anchor], scores[row, anchor] = box, score
        # Anchor a uses prototype a % 2 alone: prototype 0 is 1 everywhere, prototype 1 is -1.
        coefficients = np.zeros((batch, self.num_anchors, 32), self.dtype)
        coefficients[:, np.arange(self.num_anchors), np.arange(self.num_anchors) % 2] = 1
        prototypes = np.zeros((batch, 32, height // 4, width // 4), self.dtype)
        prototypes[:, 0] = 1
        prototypes[:, 1] = -1
        return Raw(boxes, scores, coefficients, prototypes)

    def close(self):
        self.closed = True


def grey(value, size=(64, 64)):
    return np.full((*size, 3), value, np.uint8)
