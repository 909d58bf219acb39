"""Weights files: what is read, what is written, how a broken one is refused, and where named ones come from."""

from streamseg.weights.cache import cache_folder
from streamseg.weights.files import Weights, load_weights, save_weights, write_atomically

__all__ = ["Weights", "cache_folder", "load_weights", "save_weights", "write_atomically"]
