"""Weights files: what is read, what is written, and how a broken one is refused."""

from streamseg.segmentation.weights.files import Weights, load_weights, save_weights, write_atomically

__all__ = ["Weights", "load_weights", "save_weights", "write_atomically"]
