"""Published figures of the compared systems, each with the text that it was read in; none is measured here.

Figures whose text was not at hand are left out, such as those of EfficientSAM-S and HQ-SAM ViT-B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["PUBLISHED", "Published"]

FASTSAM: Final = "README of CASIA-IVA-Lab/FastSAM, Results (arXiv 2306.12156, tables 1, 3 and 6)"
MOBILESAM: Final = "README of ChaoningZhang/MobileSAM (arXiv 2306.14289)"
EDGESAM: Final = "README of chongzhou96/EdgeSAM, Performance (arXiv 2312.06660)"
SAM2: Final = "README of facebookresearch/sam2, SAM 2.1 checkpoints (arXiv 2408.00714)"
EDGETAM: Final = "README of facebookresearch/EdgeTAM, Performance (arXiv 2501.07256)"

EVERYTHING: Final = "everything, grid of 32 x 32, RTX 3090, ms"
ONE_POINT_MS: Final = "one point prompt, RTX 3090, ms"
COCO_AP: Final = "COCO mask AP from boxes of ViTDet-H"
COCO_AR: Final = "COCO box AR@10 / 100 / 1000, everything"
CLICKS: Final = "SA-23, mIoU of 1 (5) clicks"
DAVIS: Final = "DAVIS 2017 val, J&F"
SA_V: Final = "SA-V test, J&F"


@dataclass(frozen=True)
class Published:
    """One published figure."""

    system: str
    """Name as published; sizes other than the measured ones are part of it."""
    what: str
    value: str
    source: str


PUBLISHED: Final = (
    Published("FastSAM (68 M)", EVERYTHING, "40", FASTSAM),
    Published("FastSAM (68 M)", ONE_POINT_MS, "40", FASTSAM),
    Published("FastSAM (68 M)", COCO_AR, "15.7 / 47.3 / 63.7", FASTSAM),
    Published("FastSAM (68 M)", COCO_AP, "37.9", FASTSAM),
    Published("SAM ViT-B (136 M)", EVERYTHING, "1383", FASTSAM),
    Published("SAM ViT-B (136 M)", ONE_POINT_MS, "110", FASTSAM),
    Published("SAM ViT-B (136 M)", COCO_AR, "11.4 / 39.6 / 59.1", FASTSAM),
    Published("SAM ViT-H (0.6 G)", EVERYTHING, "2099", FASTSAM),
    Published("SAM ViT-H (0.6 G)", ONE_POINT_MS, "446", FASTSAM),
    Published("SAM ViT-H (0.6 G)", COCO_AP, "46.5", FASTSAM),
    Published("MobileSAM (9.66 M)", "one prompt, one GPU, ms (FastSAM 64, SAM ViT-H 456)", "12", MOBILESAM),
    Published("MobileSAM (9.8 M)", COCO_AP, "39.4", EDGESAM),
    Published("EdgeSAM (9.6 M)", COCO_AP, "42.2", EDGESAM),
    Published("SAM 2.1 tiny (38.9 M)", SA_V, "76.5", SAM2),
    Published("SAM 2.1 base+ (80.8 M)", CLICKS, "61.9 (83.5)", EDGETAM),
    Published("SAM 2.1 base+ (80.8 M)", DAVIS, "90.2", EDGETAM),
    Published("SAM 2.1 base+ (80.8 M)", SA_V, "77.0", EDGETAM),
    Published("EdgeTAM", CLICKS, "55.5 (81.7)", EDGETAM),
    Published("EdgeTAM", DAVIS, "87.7", EDGETAM),
    Published("EdgeTAM", SA_V, "71.7", EDGETAM),
)
