"""A composed image with the output of a finished network for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from streamseg.geometry import Letterbox, letterbox
from streamseg.modeling.decoding import decode
from streamseg.modeling.network import Network
from streamseg.modeling.preprocess import letterbox_images
from streamseg.segmentation.features import feature_map
from streamseg.structures.arrays import ImageArray
from streamseg.structures.feature_map import FeatureMap
from streamseg.training.compose import ComposedImage

__all__ = ["SeenImage", "see"]


@dataclass(frozen=True, eq=False)
class SeenImage:
    """A composed image with the network's candidates at A anchors."""

    composed: ComposedImage
    place: Letterbox
    """Placement of the image in the network's input."""
    input_image: ImageArray
    """uint8 (h, w, 3), the network's input."""
    boxes: Tensor
    """float32 (A, 4) xyxy, pixels of the image; may reach beyond it."""
    scores: Tensor
    """float32 (A,), 0..1."""
    coefficients: Tensor
    """float32 (A, P)."""
    prototypes: Tensor
    """float32 (P, Mh, Mw)."""
    embeddings: Tensor | None
    """float32 (E, Mh / 2, Mw / 2); None if the network predicts none."""

    @cached_property
    def features(self) -> FeatureMap:
        """Features by which masks are propagated from or to the image."""
        embeddings = None if self.embeddings is None else self.embeddings.numpy()
        return feature_map(self.prototypes.numpy(), embeddings, self.input_image, self.place)

    def mask_logits(self, anchors: Tensor) -> Tensor:
        """Return the mask logits (N, Mh, Mw) of anchors (N,)."""
        logits = torch.mm(self.coefficients[anchors], self.prototypes.flatten(1))
        return logits.view(-1, *self.prototypes.shape[1:])


@torch.inference_mode()
def see(network: Network, composed: ComposedImage, image: ImageArray, imgsz: int) -> SeenImage:
    """Run a network in bfloat16.

    Args:
        network: frozen, in eval mode.
        composed: what the result refers to.
        image: (S, S, 3), its pixels, or others of the same size.
        imgsz: side of the network's input.
    """
    size = image.shape[0]
    place = letterbox((size, size), imgsz)
    scale_x, scale_y, _, _ = place.to_image()
    pixels = torch.from_numpy(letterbox_images([image], [place]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        decoded = decode(network(pixels.permute(0, 3, 1, 2).float() / 255))
    embeddings = decoded.embeddings
    return SeenImage(
        composed=composed,
        place=place,
        input_image=pixels[0].numpy(),
        # A square image fills its square input without padding.
        boxes=decoded.boxes[0].float() * torch.tensor([scale_x, scale_y] * 2),
        scores=decoded.scores[0].float(),
        coefficients=decoded.mask_coefficients[0].float(),
        prototypes=decoded.prototypes[0].float(),
        embeddings=None if embeddings is None else embeddings[0].float(),
    )
