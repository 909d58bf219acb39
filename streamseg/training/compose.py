"""Compose one training image from several labelled ones: crop, scale, flip, copy-paste, mosaic, camera noise.

Copy-paste follows Ghiasi et al. (arXiv 2012.07177): objects are cut from other images and blended at the edge, and the
pixels that they cover are removed from the masks below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.datasets.samples import Sample
from streamseg.errors import ConfigError
from streamseg.structures.arrays import Float32Array, ImageArray

__all__ = ["PAD_VALUE", "ByteArray", "ComposeSettings", "ComposedImage", "Draw", "camera_noise", "compose"]

ByteArray = npt.NDArray[np.uint8]
"""uint8 of any shape: coverage and weights, 0..255."""

Draw = Callable[[np.random.Generator], Sample]
"""Draws one labelled image."""

GRID = 4
"""Pixels per cell of the mask targets: the stride of the prototypes."""

PAD_VALUE = 114
"""Grey value of the padding, as at inference."""

MIN_VISIBLE_PX = 24
MIN_VISIBLE_SHARE = 0.25
"""Minimum visible pixels of a target, and minimum share of the object's pixels that must remain visible."""

MAX_OBJECTS = 60
"""Maximum targets per image; beyond it, the smallest objects are neither target nor background.

Bounds memory on crowded images.
"""


@dataclass(frozen=True)
class ComposeSettings:
    """Probabilities and ranges of the augmentation.

    Raises:
        ConfigError: a value is out of range.
    """

    mosaic: float = 0.25
    paste: float = 0.6
    max_pasted: int = 4
    scale: tuple[float, float] = (0.8, 2.2)
    """Range of the image's long side relative to the canvas."""
    part_share: float = 0.35
    """Probability that labelled parts are targets: parts are valid detections, but should rank below wholes."""
    photometric: float = 0.8

    def __post_init__(self) -> None:
        for name in ("mosaic", "paste", "part_share", "photometric"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"compose.{name} is {getattr(self, name)}; it must be from 0 to 1")
        if self.max_pasted < 1:
            raise ConfigError(f"compose.max_pasted is {self.max_pasted}; it must be at least 1")
        if not 0 < self.scale[0] <= self.scale[1] < np.inf:
            raise ConfigError(f"compose.scale is {self.scale}; it must be two ascending numbers above 0")


@dataclass(frozen=True, eq=False)
class ComposedImage:
    """One training image of S x S pixels with N targets."""

    image: ImageArray
    """(S, S, 3) RGB."""
    boxes: Float32Array
    """(N, 4) xyxy, pixels."""
    masks: ByteArray
    """(N, S / 4, S / 4): share of each cell that the object covers, 0..255."""
    background_weight: ByteArray
    """(S / 4, S / 4): weight of a negative at each cell, 0..255."""


@dataclass
class _Layer:
    """One object on the canvas."""

    mask: ByteArray
    """(S, S): coverage of each pixel by the visible part of the object, 0..255."""
    full_px: int
    """Pixels of the object before anything covered it."""


@dataclass
class _Canvas:
    image: ImageArray
    layers: list[_Layer]
    weight: ByteArray


def compose(
    rng: np.random.Generator, draw: Draw, size: int, settings: ComposeSettings, *, grid: int = GRID
) -> ComposedImage:
    """Draw labelled images and compose one training image of `size` x `size` pixels (a multiple of 32).

    The masks have one cell per `grid` pixels.
    """
    if rng.random() < settings.mosaic:
        canvas = _mosaic(rng, [_place(rng, draw(rng), size // 2, settings) for _ in range(4)])
    else:
        canvas = _place(rng, draw(rng), size, settings)
    if rng.random() < settings.paste:
        for _ in range(int(rng.integers(1, settings.max_pasted + 1))):
            _paste(rng, canvas, draw(rng))
    if rng.random() < settings.photometric:
        canvas.image = camera_noise(rng, canvas.image)
    return _finish(canvas, grid)


def _place(rng: np.random.Generator, sample: Sample, size: int, settings: ComposeSettings) -> _Canvas:
    """Place a random crop of the image with random scale, aspect ratio and flip."""
    height, width = sample.image.shape[:2]
    scale = size / max(height, width) * np.exp(rng.uniform(*np.log(settings.scale)))
    aspect = np.exp(rng.uniform(-0.15, 0.15))
    flip = bool(rng.random() < 0.5)
    new_width, new_height = max(int(width * scale * aspect), 8), max(int(height * scale / aspect), 8)
    offset_x = int(rng.integers(min(0, size - new_width), max(0, size - new_width) + 1))
    offset_y = int(rng.integers(min(0, size - new_height), max(0, size - new_height) + 1))

    image = np.full((size, size, 3), PAD_VALUE, dtype=np.uint8)
    _copy_into(image, _resize(sample.image, new_width, new_height, flip), offset_x, offset_y)
    canvas = _Canvas(image, [], np.full((size, size), round(255 * sample.background_weight), dtype=np.uint8))
    with_parts = rng.random() < settings.part_share
    for labelled in sample.objects:
        if labelled.is_part and not with_parts:
            continue
        crop, x, y = labelled.mask.crop, labelled.mask.x, labelled.mask.y
        crop_height, crop_width = crop.shape
        left = width - x - crop_width if flip else x
        x0, y0 = round(left * new_width / width), round(y * new_height / height)
        x1 = round((left + crop_width) * new_width / width)
        y1 = round((y + crop_height) * new_height / height)
        if x1 <= x0 or y1 <= y0:
            continue
        scaled = _resize(crop.astype(np.uint8) * 255, x1 - x0, y1 - y0, flip)
        mask = np.zeros((size, size), dtype=np.uint8)
        _copy_into(mask, scaled, offset_x + x0, offset_y + y0)
        if labelled.is_crowd:
            canvas.weight[mask > 0] = 0
        else:
            canvas.layers.append(_Layer(mask, int(np.count_nonzero(scaled > 127))))
    return canvas


def _mosaic(rng: np.random.Generator, tiles: list[_Canvas]) -> _Canvas:
    """Join four tiles of equal size in a square: objects at half size, in unfamiliar surroundings."""
    half = tiles[0].image.shape[0]
    size = 2 * half
    image = np.empty((size, size, 3), dtype=np.uint8)
    weight = np.empty((size, size), dtype=np.uint8)
    layers = []
    for position, tile in enumerate(tiles):
        rows = slice((position // 2) * half, (position // 2 + 1) * half)
        columns = slice((position % 2) * half, (position % 2 + 1) * half)
        image[rows, columns] = tile.image
        weight[rows, columns] = tile.weight
        for layer in tile.layers:
            mask = np.zeros((size, size), dtype=np.uint8)
            mask[rows, columns] = layer.mask
            layers.append(_Layer(mask, layer.full_px))
    return _Canvas(image, layers, weight)


def _paste(rng: np.random.Generator, canvas: _Canvas, source: Sample) -> None:
    """Cut one whole object out of a sample and paste it on top."""
    wholes = [labelled.mask for labelled in source.objects if not labelled.is_part and not labelled.is_crowd]
    candidates = [mask for mask in wholes if mask.area > 400]
    if not candidates:
        return
    chosen = candidates[int(rng.integers(len(candidates)))]
    size = canvas.image.shape[0]
    crop_height, crop_width = chosen.crop.shape
    long_side = size * np.exp(rng.uniform(np.log(0.12), np.log(0.95)))
    scale = min(long_side / max(crop_height, crop_width), 1.5)
    width, height = max(int(crop_width * scale), 4), max(int(crop_height * scale), 4)
    flip = bool(rng.random() < 0.5)
    pixels = source.image[chosen.y : chosen.y + crop_height, chosen.x : chosen.x + crop_width]
    cut = _resize(pixels, width, height, flip)
    alpha = _resize(chosen.crop.astype(np.uint8) * 255, width, height, flip)
    # Objects may extend beyond the image, as in real images.
    offset_x = int(rng.integers(-width // 4, max(size - 3 * width // 4, -width // 4 + 1)))
    offset_y = int(rng.integers(-height // 4, max(size - 3 * height // 4, -height // 4 + 1)))
    gain = rng.uniform(0.75, 1.25)

    mask = np.zeros((size, size), dtype=np.uint8)
    _copy_into(mask, alpha, offset_x, offset_y)
    # The soft edge extends one pixel beyond the cut-out, where the image must stay unchanged.
    pasted = canvas.image.copy()
    _copy_into(pasted, np.clip(cut * gain, 0, 255).astype(np.uint8), offset_x, offset_y)
    soft = cv2.GaussianBlur(mask, (3, 3), 0)[..., None].astype(np.uint16)
    canvas.image = ((pasted * soft + canvas.image * (255 - soft)) // 255).astype(np.uint8)
    for layer in canvas.layers:
        layer.mask = np.minimum(layer.mask, 255 - mask)
    canvas.weight[mask > 127] = 255
    canvas.layers.append(_Layer(mask, int(np.count_nonzero(alpha > 127))))


def camera_noise(rng: np.random.Generator, image: ImageArray) -> ImageArray:
    """Simulate a camera: exposure, white balance, blur, sensor noise, compression."""
    gains = rng.uniform(0.85, 1.15, 3) * np.exp(rng.uniform(-0.4, 0.4))
    gamma = np.exp(rng.uniform(-0.3, 0.3))
    ramp = np.linspace(0, 1, 256)[:, None] ** gamma
    table = np.clip(ramp * gains * 255, 0, 255).astype(np.uint8)
    image = np.asarray(cv2.LUT(image, table[:, None, :]), dtype=np.uint8)
    if rng.random() < 0.3:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        share = rng.uniform(0.2, 1.0)
        image = np.asarray(cv2.addWeighted(image, 1 - share, grey, share, 0), dtype=np.uint8)
    if rng.random() < 0.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.4)), dtype=np.uint8)
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(2, 10), image.shape[:2])[..., None]
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 85))])
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return image


def _finish(canvas: _Canvas, grid: int) -> ComposedImage:
    """Return the boxes and grid masks of all sufficiently visible objects."""
    cells = canvas.image.shape[0] // grid
    visible_px = [int(np.count_nonzero(layer.mask > 127)) for layer in canvas.layers]
    boxes: list[tuple[np.intp, ...]] = []
    masks = []
    for row in sorted(range(len(visible_px)), key=lambda row: -visible_px[row]):
        layer = canvas.layers[row]
        inside = layer.mask > 127
        is_hidden = visible_px[row] < max(MIN_VISIBLE_PX, MIN_VISIBLE_SHARE * layer.full_px)
        if is_hidden or len(boxes) == MAX_OBJECTS:
            # Exclude the object from both targets and background.
            canvas.weight[inside] = 0
            continue
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        masks.append(cv2.resize(layer.mask, (cells, cells), interpolation=cv2.INTER_AREA))
    return ComposedImage(
        image=canvas.image,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        masks=np.array(masks, dtype=np.uint8).reshape(-1, cells, cells),
        background_weight=np.asarray(
            cv2.resize(canvas.weight, (cells, cells), interpolation=cv2.INTER_AREA), dtype=np.uint8
        ),
    )


def _resize(image: ByteArray, width: int, height: int, flip: bool) -> ByteArray:
    shrinks = width < image.shape[1] or height < image.shape[0]
    scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(cv2.flip(scaled, 1) if flip else scaled, dtype=np.uint8)


def _copy_into(canvas: ByteArray, image: ByteArray, x: int, y: int) -> None:
    """Copy an image to (x, y) of the canvas; clip the part that exceeds the canvas."""
    height, width = image.shape[:2]
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + width, canvas.shape[1]), min(y + height, canvas.shape[0])
    if x1 > x0 and y1 > y0:
        canvas[y0:y1, x0:x1] = image[y0 - y : y1 - y, x0 - x : x1 - x]
