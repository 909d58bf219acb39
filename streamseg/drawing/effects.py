"""Effects on images that people watch: prompted objects on a blurred, replaced or dimmed background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.config.effect import EffectConfig
from streamseg.drawing.overlay import Colour
from streamseg.drawing.soft_mask import OPAQUE, SoftMask, blend, soft_mask
from streamseg.errors import ConfigError, StreamsegError
from streamseg.imaging import load_image
from streamseg.structures.arrays import ImageArray
from streamseg.structures.mask import MaskSpace
from streamseg.structures.message import MessageObject

__all__ = ["CHROMA_GREEN", "EffectStyle", "Layer", "cut_out", "load_style", "render_effect"]

CHROMA_GREEN: Final[Colour] = (0, 177, 64)
SMALL_SIGMA: Final = 2.5
"""Minimum standard deviation in pixels of the small image that is blurred instead of the large one."""
LEAK: Final = 1e-3
"""Weight of the objects' own colours in the blurred background; without it, there would be none deep inside them."""
DIMMED: Final = 0.4
"""Brightness of what is not highlighted, as a factor."""
OUTLINE_PX_AT_720: Final = 2.0
WHITE: Final = (255, 255, 255)
MAX_FITTED: Final = 16
"""Number of image sizes for which the background is kept."""


@dataclass(frozen=True, eq=False)
class EffectStyle:
    """An effect with its background in memory."""

    config: EffectConfig
    """`kind` is not None."""
    background: ImageArray | Colour = CHROMA_GREEN
    _fitted: dict[tuple[int, int], ImageArray] = field(default_factory=dict)

    @property
    def hides_background(self) -> bool:
        """Whether the effect is to conceal what is not prompted."""
        return self.config.kind != "highlight"

    def background_of(self, size: tuple[int, int]) -> ImageArray:
        """Return the background of `cutout`, (H, W, 3), which covers the whole image; not to be modified."""
        known = self._fitted.get(size)
        if known is None:
            if len(self._fitted) >= MAX_FITTED:
                self._fitted.clear()
            known = self._fitted[size] = _cover(self.background, size)
        return known


@dataclass(frozen=True, eq=False)
class Layer:
    """Objects with the pixels of one frame."""

    image: ImageArray
    """Image (H, W, 3) of that frame."""
    objects: tuple[MessageObject, ...]
    space: MaskSpace
    """Space of the objects' masks."""
    opacity: float = 1.0
    """0..1."""


def load_style(config: EffectConfig) -> EffectStyle | None:
    """Return the style of a configuration; None if there is no effect.

    Raises:
        ConfigError: the image of the background cannot be read.
    """
    if config.kind is None:
        return None
    if config.background is None:
        return EffectStyle(config)
    if config.background.startswith("#"):
        red, green, blue = bytes.fromhex(config.background[1:])
        return EffectStyle(config, (red, green, blue))
    try:
        return EffectStyle(config, load_image(config.background))
    except StreamsegError as error:
        raise ConfigError(f"effect.background: {error}; give an image, or a colour such as #00b140") from error


def render_effect(image: ImageArray, layers: Sequence[Layer], style: EffectStyle) -> ImageArray:
    """Return a new image (H, W, 3) with an effect: the layers, in order, on the background.

    Args:
        image: the newest frame, (H, W, 3).
        layers: prompted objects, of this frame or of an earlier one of the same size; none: background only.
        style: the effect.
    """
    masks = [soft_mask((found.mask for found in layer.objects), layer.space) for layer in layers]
    canvas = _background(image, [one for one, layer in zip(masks, layers, strict=True) if layer.image is image], style)
    for mask, layer in zip(masks, layers, strict=True):
        if layer.opacity >= 1:
            blend(canvas, layer.image, mask)
        elif mask.alpha.size:
            faded = canvas.copy()
            part = mask.of(canvas)
            mask.of(faded)[:] = cv2.addWeighted(mask.of(layer.image), layer.opacity, part, 1 - layer.opacity, 0)
            blend(canvas, faded, mask)
    if style.config.kind == "highlight":
        _outline(canvas, [one for one, layer in zip(masks, layers, strict=True) if layer.opacity >= 1])
    return canvas


def cut_out(image: ImageArray, layers: Sequence[Layer]) -> npt.NDArray[np.uint8]:
    """Return the objects of all layers, with the pixels of one image, on a transparent background.

    Returns:
        uint8 (H, W, 4): RGB and opacity, all 0 outside the objects, because files contain transparent colours, too.
    """
    height, width = image.shape[:2]
    result = np.zeros((height, width, 4), dtype=np.uint8)
    for layer in layers:
        mask = soft_mask((found.mask for found in layer.objects), layer.space)
        if mask.alpha.size:
            target = result[mask.y : mask.y + mask.alpha.shape[0], mask.x : mask.x + mask.alpha.shape[1]]
            is_visible = mask.alpha > 0
            target[is_visible, :3] = mask.of(image)[is_visible]
            np.maximum(target[..., 3], mask.alpha, out=target[..., 3])
    return result


def _background(image: ImageArray, masks: Sequence[SoftMask], style: EffectStyle) -> ImageArray:
    """Return the background as a new image; `masks` are objects of this image."""
    kind = style.config.kind
    if kind == "cutout":
        return style.background_of((image.shape[0], image.shape[1])).copy()
    if kind == "blur":
        return _blurred(image, masks, style.config.blur * min(image.shape[:2]))
    grey = cv2.convertScaleAbs(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), alpha=DIMMED)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]


def _blurred(image: ImageArray, masks: Sequence[SoftMask], sigma: float) -> ImageArray:
    """Blur what is around objects, whose own colours make no halo around them.

    The image is blurred at a small size, where a blur of any strength costs the same.
    """
    height, width = image.shape[:2]
    # By a whole number, for which OpenCV is three times as fast.
    factor = max(int(sigma / SMALL_SIGMA), 1)
    size = -(-width // factor), -(-height // factor)
    small: npt.NDArray[np.float32] = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    sigmas = (sigma * size[0] / width, sigma * size[1] / height)
    plain = cv2.GaussianBlur(small, (0, 0), sigmas[0], sigmaY=sigmas[1])
    if masks:
        outside = np.full((height, width), OPAQUE, dtype=np.uint8)
        for mask in masks:
            rows, columns = mask.alpha.shape
            part = outside[mask.y : mask.y + rows, mask.x : mask.x + columns]
            np.minimum(part, (mask.alpha == 0).view(np.uint8) * np.uint8(OPAQUE), out=part)
        share = cv2.resize(outside, size, interpolation=cv2.INTER_AREA).astype(np.float32) / OPAQUE
        weighted = cv2.GaussianBlur(small * share[..., None], (0, 0), sigmas[0], sigmaY=sigmas[1])
        weights = cv2.GaussianBlur(share, (0, 0), sigmas[0], sigmaY=sigmas[1])
        plain = (weighted + LEAK * plain) / (weights + LEAK)[..., None]
    rounded = np.clip(np.rint(plain), 0, 255).astype(np.uint8)
    return cv2.resize(rounded, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _outline(canvas: ImageArray, masks: Sequence[SoftMask]) -> None:
    thickness = max(1, round(OUTLINE_PX_AT_720 * min(canvas.shape[:2]) / 720))
    for mask in masks:
        if mask.alpha.size:
            hard = (mask.alpha > OPAQUE // 2).view(np.uint8)
            contours, _ = cv2.findContours(hard, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(mask.x, mask.y))
            cv2.drawContours(canvas, contours, -1, WHITE, thickness, cv2.LINE_AA)


def _cover(background: ImageArray | Colour, size: tuple[int, int]) -> ImageArray:
    """Return a colour or the middle of an image at a size (H, W), without distortion."""
    height, width = size
    if isinstance(background, tuple):
        return np.full((height, width, 3), background, dtype=np.uint8)
    rows, columns = background.shape[:2]
    scale = max(height / rows, width / columns)
    cut_rows, cut_columns = min(max(round(height / scale), 1), rows), min(max(round(width / scale), 1), columns)
    y, x = (rows - cut_rows) // 2, (columns - cut_columns) // 2
    middle = background[y : y + cut_rows, x : x + cut_columns]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(middle, (width, height), interpolation=how)  # type: ignore[return-value]
