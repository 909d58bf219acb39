"""Colour bins on the device are OpenCV's."""

import cv2
import numpy as np
import torch

from streamseg.segmentation.device.lab import ColourBins
from streamseg.segmentation.embedding import colour_tables


def test_bins_equal_those_of_opencv():
    values = np.arange(0, 256, 5)
    colours = np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.uint8)
    lab = cv2.cvtColor(colours[None], cv2.COLOR_RGB2LAB)[0]
    expected = sum(table[lab[:, channel]].astype(int) for channel, table in enumerate(colour_tables()))
    cells = np.tile(colours[None, None], (1, 4, 1, 1)).repeat(4, axis=2)  # one cell of 4 x 4 pixels per colour
    found = ColourBins(torch.device("cpu"))(torch.from_numpy(cells)).numpy()[0]
    # One colour in some 10,000 differs by one step, and few steps are at the border of a bin.
    assert (found != expected).mean() < 1e-4
