"""Surface patterns of the rendered scene: factors (H, W) by which colours are multiplied."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from streamseg.structures.arrays import Float32Array

__all__ = ["TEXTURES", "Rng", "Texture", "cloud"]

Rng = np.random.Generator
Texture = Callable[[int, int, Rng], Float32Array]
"""Function of (height_px, width_px, rng) that returns factors (height_px, width_px) around 1."""


def cloud(height: int, width: int, rng: Rng, *, cells: float = 4.0, octaves: int = 4) -> Float32Array:
    """Return smooth noise (height, width), about -1..1; `cells` is the number of blobs along the long side."""
    total = np.zeros((height, width), np.float32)
    weight, per_cell = 1.0, max(height, width) / cells
    for _ in range(octaves):
        rows, columns = max(round(height / per_cell), 1) + 3, max(round(width / per_cell), 1) + 3
        grid = rng.uniform(-1.0, 1.0, (rows, columns)).astype(np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        weight, per_cell = weight * 0.5, per_cell / 2
        if per_cell < 1.5:
            break
    return total


def _axis(height: int, width: int, angle: float) -> Float32Array:
    """Return the distance (height, width) in pixels along a direction; `angle` is in radians."""
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    return x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))


def _plain(height: int, width: int, rng: Rng) -> Float32Array:
    return 1.0 + 0.04 * cloud(height, width, rng, cells=6)


def _speckled(height: int, width: int, rng: Rng) -> Float32Array:
    grain = rng.normal(0.0, 1.0, (height, width)).astype(np.float32)
    return np.asarray(1.0 + 0.1 * cv2.GaussianBlur(grain, (0, 0), 0.9) + 0.06 * cloud(height, width, rng), np.float32)


def _striped(height: int, width: int, rng: Rng) -> Float32Array:
    period_px = max(max(height, width) / rng.uniform(4, 12), 4.0)
    angle = rng.choice([0.0, np.pi / 2, np.pi / 4])
    wave = np.sin(_axis(height, width, angle) * np.float32(2 * np.pi / period_px))
    return np.asarray(1.0 + rng.choice([-0.28, 0.28]) * np.clip(wave * 4, -1, 1), np.float32)


def _checked(height: int, width: int, rng: Rng) -> Float32Array:
    period_px = max(max(height, width) / rng.uniform(3, 8), 5.0)
    turn = rng.uniform(0, np.pi / 2)
    along = np.sin(_axis(height, width, turn) * np.float32(2 * np.pi / period_px))
    across = np.sin(_axis(height, width, turn + np.pi / 2) * np.float32(2 * np.pi / period_px))
    return np.asarray(1.0 + 0.2 * np.clip(along * across * 6, -1, 1), np.float32)


def _dotted(height: int, width: int, rng: Rng) -> Float32Array:
    period_px = max(max(height, width) / rng.uniform(5, 10), 5.0)
    along = np.sin(_axis(height, width, 0.0) * np.float32(2 * np.pi / period_px))
    across = np.sin(_axis(height, width, np.pi / 2) * np.float32(2 * np.pi / period_px))
    return np.asarray(1.0 + rng.choice([-0.35, 0.35]) * np.clip((along * across - 0.45) * 6, 0, 1), np.float32)


def _wooden(height: int, width: int, rng: Rng) -> Float32Array:
    stretched = cloud(height, max(width // 12, 2), rng, cells=14, octaves=3)
    grain = cv2.resize(stretched, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(1.0 + 0.14 * np.sin(grain * 5), np.float32)


def _woven(height: int, width: int, rng: Rng) -> Float32Array:
    x = np.sin(np.arange(width, dtype=np.float32) * 2.1)[None, :]
    y = np.sin(np.arange(height, dtype=np.float32) * 2.1)[:, None]
    return np.asarray(1.0 + 0.07 * x * y + 0.08 * cloud(height, width, rng, cells=3), np.float32)


TEXTURES: dict[str, Texture] = {
    "plain": _plain,
    "speckled": _speckled,
    "striped": _striped,
    "checked": _checked,
    "dotted": _dotted,
    "wooden": _wooden,
    "woven": _woven,
}
"""Textures by name; each shape selects the ones that suit it."""
