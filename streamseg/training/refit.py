"""Whether the refiner of the weights that were fine-tuned still fits the network: measured before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamseg.engines.engine import imgsz_of
from streamseg.errors import DataError
from streamseg.modeling.network import Network
from streamseg.modeling.refiner import REFINER_PREFIX
from streamseg.training.batches import SampleSource, draw_from
from streamseg.training.refine import mask_ious
from streamseg.training.refiner_examples import RefineSettings, collect_examples
from streamseg.weights import Weights

__all__ = ["MIN_KEPT_SHARE", "RefinerFit", "kept_parts", "measure_fit"]

MIN_KEPT_SHARE: Final = 0.5
"""Share of its gain in mask IoU that a refiner must have kept. The gain is why there is a refiner; once the network has
moved so far that less than half of it is left, a refit, which takes a fraction of the training, returns more than the
old refiner still gives."""
NUM_IMAGES: Final = 40
"""Composed images that are measured."""


@dataclass(frozen=True)
class RefinerFit:
    """Mean mask IoU with targets, without and with the refiner, before and after the fine-tuning."""

    plain_before: float
    refined_before: float
    plain_after: float
    refined_after: float
    num_objects: int
    """Number of detections that match a target after the fine-tuning."""
    is_held_out: bool
    """Whether the images were held out of the training."""

    @property
    def gain_before(self) -> float:
        """Gain of mask IoU by the refiner with the weights that it was made for."""
        return self.refined_before - self.plain_before

    @property
    def gain_after(self) -> float:
        """Gain with the fine-tuned weights; negative if the refiner makes masks worse."""
        return self.refined_after - self.plain_after

    @property
    def fits(self) -> bool:
        """Whether the refiner need not be fitted again."""
        return self.gain_after > 0 and self.gain_after >= MIN_KEPT_SHARE * self.gain_before

    def describe(self) -> str:
        """Return the figures in one line."""
        images = "held-out" if self.is_held_out else "training"
        return (
            f"it changes mask IoU from {self.plain_after:.3f} to {self.refined_after:.3f} (with the former network from"
            f" {self.plain_before:.3f} to {self.refined_before:.3f}; {self.num_objects} objects, {images} images)"
        )


def kept_parts(start: Weights) -> dict[str, str]:
    """Return the metadata of what fine-tuned weights keep from those that they started from."""
    keys = ("imgsz", "refined_weights_sha256", "refined_with", "embedded_weights_sha256", "embedded_with")
    has_refiner = any(name.startswith(REFINER_PREFIX) for name in start.state_dict)
    return {
        key: start.metadata[key]
        for key in keys
        if key in start.metadata and (has_refiner or not key.startswith("refined"))
    }


def measure_fit(
    start: Weights,
    network: Network,
    sources: Sequence[SampleSource],
    shares: Sequence[float],
    *,
    is_held_out: bool,
    num_images: int = NUM_IMAGES,
    seed: int = 0,
) -> RefinerFit | None:
    """Measure the refiner of `start` with its own network and with the fine-tuned one, on the same images.

    Args:
        start: the weights that were fine-tuned.
        network: the result, in eval mode, of the same architecture.
        sources: labelled images.
        shares: weight of each source, on any positive scale.
        is_held_out: whether the images were held out of the training, for the result.
        num_images: number of composed images.
        seed: of the images.

    Returns:
        The figures; None without a refiner, or if one of the networks finds no object in the images.
    """
    refiner = start.refiner()
    if refiner is None:
        return None
    refiner = refiner.eval().requires_grad_(False)
    settings = RefineSettings(num_images=num_images, imgsz=imgsz_of(start.metadata), seed=seed)
    figures = []
    for measured in (start.network(), network):
        draw = draw_from(sources, np.asarray(shares) / sum(shares), lambda message: None)
        try:
            examples, _ = collect_examples(measured.eval(), draw, settings)
        except DataError:  # too few objects for any figure
            return None
        figures.append(mask_ious(refiner, examples))
    (plain_before, refined_before, _), (plain_after, refined_after, num_objects) = figures
    if not all(map(math.isfinite, (plain_before, plain_after))):
        return None
    return RefinerFit(plain_before, refined_before, plain_after, refined_after, num_objects, is_held_out)
