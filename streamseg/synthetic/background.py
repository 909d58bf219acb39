"""Static backgrounds of the rendered scene: a room, a street, a meadow, a table top, a wall."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.structures.arrays import Float32Array, ImageArray
from streamseg.synthetic.textures import TEXTURES, Rng, cloud

__all__ = ["BACKGROUNDS", "paint_background"]


def paint_background(kind: str, height: int, width: int, rng: Rng) -> ImageArray:
    """Return a background (H, W, 3) of a kind in `BACKGROUNDS`, without anything that could be called an object."""
    image = BACKGROUNDS[kind](height, width, rng)
    image *= _vignette(height, width)[..., None]
    image += rng.normal(0.0, 2.0, (height, width, 1)).astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)


def _vignette(height: int, width: int) -> Float32Array:
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return np.asarray(1.06 - 0.12 * (x * x + y * y), np.float32)


def _colour(rng: Rng, low: float, high: float, spread: float) -> Float32Array:
    """Return a muted colour (3,): a grey in [low, high] plus a tint of up to `spread` per channel."""
    return (rng.uniform(low, high) + rng.uniform(-spread, spread, 3)).astype(np.float32)


def _flat(colour: Float32Array, factors: npt.NDArray[np.floating]) -> Float32Array:
    """Return a colour (3,) multiplied by factors (H, W), as (H, W, 3)."""
    return (factors[..., None] * colour).astype(np.float32)


def _receding(texture: Float32Array, *, squeeze: float) -> Float32Array:
    """Return a texture projected onto the ground: `squeeze` times more of it is visible at the far edge."""
    height, width = texture.shape[:2]
    inset = width * (1 - 1 / squeeze) / 2
    near = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    far = np.array([[inset, 0], [width - inset, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(near, far)
    # Mirroring fills the two triangles beside the trapezium.
    warped = cv2.warpPerspective(texture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return warped.astype(np.float32)


def _planks(height: int, width: int, rng: Rng) -> Float32Array:
    board_px = max(width // 14, 6)
    grain = cv2.resize(cloud(max(height // 10, 2), width, rng, cells=24, octaves=3), (width, height))
    tone = np.repeat(rng.uniform(0.86, 1.1, width // board_px + 1), board_px)[:width].astype(np.float32)
    gaps = (np.arange(width) % board_px < max(board_px // 20, 1)).astype(np.float32)
    factors = (1 + 0.1 * np.sin(grain * 4)) * (tone - 0.3 * gaps)[None, :]
    return _flat(_colour(rng, 110, 165, 8) + np.array([24, 2, -22], np.float32), factors)


def _room(height: int, width: int, rng: Rng) -> Float32Array:
    horizon = round(height * rng.uniform(0.5, 0.62))
    paper = TEXTURES[str(rng.choice(["striped", "dotted", "woven", "plain"]))](height, width, rng)
    light = np.linspace(1.05, 0.85, width, dtype=np.float32)[None, :]
    image = _flat(_colour(rng, 150, 210, 26), (1 + (paper - 1) * 0.3) * light)
    image[horizon:] = _receding(_planks(height - horizon, width, rng), squeeze=1.8)
    board = max(height // 36, 2)
    image[horizon - board : horizon] = _colour(rng, 200, 235, 6)
    image[horizon : horizon + max(board // 3, 1)] *= 0.6
    return image


def _street(height: int, width: int, rng: Rng) -> Float32Array:
    horizon = round(height * rng.uniform(0.46, 0.58))
    image = _flat(np.array([168, 196, 226], np.float32), 1 + 0.06 * cloud(height, width, rng, cells=3))
    left = 0
    while left < width:  # a row of house fronts, out of focus
        right = min(left + round(height * rng.uniform(0.25, 0.5)), width)
        top = round(horizon * rng.uniform(0.05, 0.5))
        front = image[top:horizon, left:right]
        front[:] = _colour(rng, 120, 190, 24)
        step = max(height // 12, 6)
        for y in range(step // 2, front.shape[0] - step // 2, step):
            for x in range(step // 2, front.shape[1] - step // 2, step):
                front[y : y + step // 2, x : x + step // 3] *= 0.72
        left = right
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), height / 150), np.float32)
    asphalt = TEXTURES["speckled"](height - horizon, width, rng)
    image[horizon:] = _receding(_flat(_colour(rng, 95, 130, 4), asphalt), squeeze=1.5)
    kerb = horizon + (height - horizon) // 7
    image[horizon:kerb] = _flat(_colour(rng, 160, 185, 4), asphalt[: kerb - horizon])
    image[kerb : kerb + max(height // 90, 1)] *= 0.7
    return image


def _meadow(height: int, width: int, rng: Rng) -> Float32Array:
    horizon = round(height * rng.uniform(0.4, 0.55))
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky = np.array([120, 168, 226], np.float32) * (1 - rows) + np.array([226, 234, 236], np.float32) * rows
    clouds = np.clip(cloud(height, width, rng, cells=4), 0, 1)[..., None]
    sky = sky + (250 - sky) * clouds * 0.7
    hills = horizon - height * 0.1 * np.clip(cloud(1, width, rng, cells=4)[0] + 0.6, 0, 2)
    below = np.arange(height)[:, None] >= hills[None, :]
    far = np.array([112, 142, 118], np.float32) * (1 + 0.08 * cloud(height, width, rng, cells=10))[..., None]
    image = np.where(below[..., None], far, sky).astype(np.float32)
    grain = rng.normal(0, 1, (height - horizon, width)).astype(np.float32)
    blades = cv2.GaussianBlur(grain, (0, 0), sigmaX=0.8, sigmaY=max(height / 160, 1.0))
    grass = np.asarray(1 + 0.25 * blades, np.float32) + 0.12 * cloud(height - horizon, width, rng, cells=5)
    image[horizon:] = _flat(np.array([98, 138, 66], np.float32), grass)
    return image


def _table(height: int, width: int, rng: Rng) -> Float32Array:
    turned = np.ascontiguousarray(_planks(width, height, rng).transpose(1, 0, 2))
    shadow = 1 + 0.12 * cloud(height, width, rng, cells=2, octaves=2)
    return turned * shadow[..., None]


def _wall(height: int, width: int, rng: Rng) -> Float32Array:
    spots = cv2.GaussianBlur(cloud(height, width, rng, cells=7, octaves=2), (0, 0), height / 40)
    image = _flat(_colour(rng, 90, 190, 34), 1 + 0.1 * spots)
    tint = _colour(rng, -20, 30, 22)
    return (image + tint * cloud(height, width, rng, cells=2, octaves=2)[..., None]).astype(np.float32)


BACKGROUNDS: dict[str, Callable[[int, int, Rng], Float32Array]] = {
    "room": _room,
    "street": _street,
    "meadow": _meadow,
    "table": _table,
    "wall": _wall,
}
"""Backgrounds by name: functions of (height, width, rng) that return float32 (H, W, 3) RGB, 0..255."""
