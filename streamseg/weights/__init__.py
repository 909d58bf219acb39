"""Weights files: reading, writing, conversion, and official weights by name.

files       read and write weights; safetensors is the native format
checkpoint  read PyTorch checkpoints (.pt) without executing their pickle
embedded    weights in the package, and the ones that `default` stands for
catalogue   official weights: names, hashes, addresses, licences
resolve     from a name or path to a local file
download    fetch a file with a known hash over HTTP
convert     write weights of any readable format as safetensors
average     average the weights of several networks
metadata    describe the contents of a weights file or graph
"""

from streamseg.weights.files import Weights, load_weights, save_weights, write_atomically

__all__ = ["Weights", "load_weights", "save_weights", "write_atomically"]
