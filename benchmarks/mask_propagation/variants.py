"""The variants of following that the ablation compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamseg.propagation import PropagationSettings

__all__ = ["VARIANTS", "FeatureKind", "Variant"]

FeatureKind = Literal["none", "own", "colour", "efficientnet"]
"""Features by which masks are propagated.

none           no propagation: proposals only
own            those of the segmenter: its embedding if it has one, prototypes and colours
colour         colours and prototypes, without the embedding
efficientnet   EfficientNet-Lite0 of ImageNet, which matches surfaces well and is not part of the package
"""

NEVER = 2.0
"""An IoU that no proposal has."""


@dataclass(frozen=True)
class Variant:
    """One way of following."""

    name: str
    features: FeatureKind = "own"
    settings: PropagationSettings = PropagationSettings()  # noqa: RUF009  # frozen


VARIANTS = (
    Variant("proposals only", "none"),
    Variant(
        "propagation only",
        settings=PropagationSettings(
            agreement_iou=NEVER, own_agreement_iou=NEVER, group_agreement_iou=NEVER, look_iou=NEVER
        ),
    ),
    Variant("both"),
    Variant("both, no second look", settings=PropagationSettings(look_iou=NEVER)),
    Variant("both, first frame only", settings=PropagationSettings(num_recent=0)),
    Variant("both, 1 recent frame", settings=PropagationSettings(num_recent=1)),
    Variant("both, 5 recent frames", settings=PropagationSettings(num_recent=5)),
    Variant("both, radius 8", settings=PropagationSettings(radius=8)),
    Variant("both, 24 tiles", settings=PropagationSettings(max_tiles=24)),
    Variant("both, 12 tiles", settings=PropagationSettings(max_tiles=12)),
    Variant("both, 32 components", settings=PropagationSettings(num_components=32)),
    Variant("both, agreement 0.5", settings=PropagationSettings(agreement_iou=0.5)),
    Variant("both, agreement 0.7", settings=PropagationSettings(agreement_iou=0.7)),
    Variant("both, own track 0.6", settings=PropagationSettings(own_agreement_iou=0.6)),
    Variant("both, no embedding", "colour"),
    Variant("both, EfficientNet-Lite0", "efficientnet"),
)
