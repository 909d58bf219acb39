"""Trained-like refiners, and instances to refine."""

import torch

from streamseg.geometry import letterbox
from streamseg.modeling.refiner import REFINER_PREFIX, Refiner
from streamseg.structures.instances import Instances
from streamseg.weights import save_weights
from tests.support.networks import blobs, lively_network

IMAGE_SIZE = (90, 120)
PLACE = letterbox(IMAGE_SIZE, 160)  # 120x160 in 128x160: padding above and below


def trained_refiner(num_masks=32, seed=1, **options):
    """Return a refiner with non-trivial corrections and qualities, as if trained."""
    torch.manual_seed(seed)
    refiner = Refiner(num_masks, **options)
    torch.nn.init.normal_(refiner.correct.weight, std=2.0)
    torch.nn.init.normal_(refiner.judge.weight, std=2.0)
    refiner.calibration.copy_(torch.tensor([0.8, -0.2, 0.7]))
    return refiner.eval()


def random_instances(count=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand((count, 2), generator=generator) * 40
    boxes = torch.cat([corner, corner + 10 + torch.rand((count, 2), generator=generator) * 30], dim=1)
    logits = torch.randn((count, 32, 40), generator=generator)
    return Instances(boxes, torch.rand(count, generator=generator), logits, PLACE.to_image(4), IMAGE_SIZE)


def random_image(seed=0):
    return blobs(IMAGE_SIZE, seed)


def random_prototypes(seed=0):
    return torch.randn((32, 32, 40), generator=torch.Generator().manual_seed(seed))


def refined_file(folder, refiner):
    tensors = {
        **lively_network().state_dict(),
        **{REFINER_PREFIX + name: t for name, t in refiner.state_dict().items()},
    }
    return save_weights(tensors, folder / "refined.safetensors")
