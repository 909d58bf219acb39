"""Small weights files to average."""

import functools
from dataclasses import dataclass

import torch

from streamseg.modeling.refiner import REFINER_PREFIX, Refiner
from streamseg.weights import load_weights, save_weights
from streamseg.weights.average import average_weights
from tests.support.checkpoints import TINY, tiny_network


@functools.cache
def tensors_of(seed=0, config=TINY):
    return tiny_network(seed=seed, config=config).state_dict()


def refiner_tensors(seed=1, *, num_masks=TINY.num_masks, half=False, rounded=False):
    """Tensors of a random refiner. `rounded`: values rounded to half precision, stored in single precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        refiner = Refiner(num_masks).state_dict()
    stored = {name: tensor.half() if half or rounded else tensor for name, tensor in refiner.items()}
    return {REFINER_PREFIX + name: tensor.float() if rounded else tensor for name, tensor in stored.items()}


@dataclass
class Files:
    """Small weights files in one folder."""

    folder: object

    def __call__(self, name="a", seed=0, *, tensors=None, half=False, **metadata):
        """Write and load a file."""
        path = self.folder / f"{name}.safetensors"
        return load_weights(save_weights(tensors or tensors_of(seed), path, metadata=metadata, half=half))

    def average(self, *weights, name="out", **options):
        return load_weights(average_weights(weights, self.folder / f"{name}.safetensors", **options))

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())
