"""The pairs of ONNX graphs that exporters write for models of SAM's family, in one table.

All split the model in an encoder of images and a decoder of prompts. What differs is how the image enters, the names
of the embeddings, and the size of the masks. The decoder decides the variant, by the names of its inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from streamseg.errors import WeightsError
from streamseg.tiers.quality.fits import FitKind

__all__ = ["VARIANTS", "Variant", "variant_of"]


@dataclass(frozen=True)
class Variant:
    """The decoder of one family of exporters."""

    name: str
    exporters: str
    """Programs that write it."""
    embeddings: tuple[str, ...]
    """Inputs that are outputs of the encoder."""
    coords: str
    """Input (N, P, 2) of the coordinates, with the labels' axes in front if `is_nested`."""
    labels: str
    """Input (N, P) of the labels, of any number type."""
    masks: tuple[str, ...]
    """Names of the output of logits; the first one that exists is used, because the later ones are larger."""
    qualities: str
    """Name of the output of predicted IoU."""
    fit: FitKind
    has_mask_prompt: bool = True
    """Whether there are inputs `mask_input` and `has_mask_input`, which get zeros."""
    pads_prompts: bool = False
    """Whether the decoder itself adds the point without a meaning that stands for "no box"."""
    is_nested: bool = False
    """Whether coordinates, labels and outputs have a further axis in front, the batch of images."""
    is_plain_rgb: bool = False
    """Whether the encoder normalises: it gets RGB in 0..1."""

    @property
    def prompt_inputs(self) -> tuple[str, ...]:
        """The inputs of the decoder beside the embeddings, without the optional `orig_im_size`."""
        return (self.coords, self.labels, *(("mask_input", "has_mask_input") if self.has_mask_prompt else ()))

    @property
    def inputs(self) -> tuple[str, ...]:
        """All required inputs of the decoder."""
        return (*self.embeddings, *self.prompt_inputs)


VARIANTS = (
    Variant(
        name="sam",
        exporters="segment-anything, samexporter, MobileSAM, streamseg tiers export",
        embeddings=("image_embeddings",),
        coords="point_coords",
        labels="point_labels",
        masks=("low_res_masks", "masks"),
        qualities="iou_predictions",
        fit="pad",
    ),
    Variant(
        name="hq-sam",
        exporters="sam-hq, streamseg tiers export",
        embeddings=("image_embeddings", "interm_embeddings"),
        coords="point_coords",
        labels="point_labels",
        masks=("low_res_masks", "masks"),
        qualities="iou_predictions",
        fit="pad",
    ),
    Variant(
        name="sam2",
        exporters="samexporter, ONNX Runtime's SAM 2 tools, streamseg tiers export",
        embeddings=("image_embed", "high_res_feats_0", "high_res_feats_1"),
        coords="point_coords",
        labels="point_labels",
        masks=("low_res_masks", "masks"),
        qualities="iou_predictions",
        fit="stretch",
        pads_prompts=True,
    ),
    Variant(
        name="efficient-sam",
        exporters="EfficientSAM",
        embeddings=("image_embeddings",),
        coords="batched_point_coords",
        labels="batched_point_labels",
        masks=("output_masks",),
        qualities="iou_predictions",
        fit="shrink",
        has_mask_prompt=False,
        pads_prompts=True,
        is_nested=True,
        is_plain_rgb=True,
    ),
    Variant(
        name="edge-sam",
        exporters="EdgeSAM",
        embeddings=("image_embeddings",),
        coords="point_coords",
        labels="point_labels",
        masks=("masks",),
        qualities="scores",
        fit="pad",
        has_mask_prompt=False,
    ),
)
"""In this order, the first one whose inputs and outputs fit is used."""

OPTIONAL_INPUTS = frozenset({"orig_im_size"})


def variant_of(inputs: Collection[str], outputs: Collection[str], *, path: object) -> Variant:
    """Return the variant of a decoder by the names of its inputs and outputs.

    Raises:
        WeightsError: no variant fits; says which inputs were expected.
    """
    for variant in VARIANTS:
        is_fitting = set(inputs) - OPTIONAL_INPUTS == set(variant.inputs)
        if is_fitting and variant.qualities in outputs and any(name in outputs for name in variant.masks):
            return variant
    expected = "; or ".join(f"{', '.join(one.inputs)} ({one.name})" for one in VARIANTS)
    raise WeightsError(
        f"{path} is not a supported mask decoder: it has the inputs {', '.join(inputs)} and the outputs"
        f" {', '.join(outputs)}; expected the inputs {expected}"
    )
