"""Rasterisation of one object with shading, texture, holes and named parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.structures.arrays import Float32Array, Float64Array
from streamseg.synthetic.textures import TEXTURES, Rng

__all__ = ["Colour", "Coverage", "Point", "Raster", "Sprite"]

Colour = tuple[float, float, float]
"""(red, green, blue), 0..255."""
Coverage = npt.NDArray[np.uint8]
"""uint8 (H, W), 255 inside and 0 outside."""
Point = tuple[float, float]
"""(x, y) in units of the raster height."""

OVERSAMPLING = 2
"""Areas are drawn with hard edges at this multiple of the size; averaging makes the edges soft."""
LIGHT = np.array([-0.45, -0.6, 0.66], np.float32)
"""Unit vector towards the light (x, y, towards the viewer): above and to the left."""


@dataclass(frozen=True, eq=False)
class Sprite:
    """One rasterised object, upright, at the largest size at which it appears."""

    rgba: npt.NDArray[np.uint8]
    """uint8 (H, W, 4): RGB premultiplied with alpha, and alpha; the border pixels are empty."""
    coverage: Coverage
    """(H, W) coverage of each pixel by the object, 0..255: alpha without the cast shadow."""
    parts: tuple[Coverage, ...]
    """Coverage (H, W) of each part, 0..255; parts are disjoint."""
    outline: Float32Array
    """(N, 2) xy, convex hull of all non-empty pixels, in pixel coordinates."""


class Raster:
    """A transparent raster in which an object is painted, back to front.

    Coordinates are in units of the height: x from 0 (left) to `aspect`, y from 0 (top) to 1.
    """

    def __init__(self, height_px: int, aspect: float, rng: Rng) -> None:
        self._unit = height_px * OVERSAMPLING
        height, width = self._unit, max(round(self._unit * aspect), OVERSAMPLING)
        self._rng = rng
        self._colours = np.zeros((height, width, 3), np.float32)
        self._alpha = np.zeros((height, width), np.uint8)
        self._labels = np.zeros((height, width), np.uint8)
        self._parts: list[str] = []

    def polygon(self, points: Sequence[Point]) -> Coverage:
        """Return the area of a polygon."""
        coverage = np.zeros_like(self._alpha)
        cv2.fillPoly(coverage, [self._pixels(np.asarray(points, np.float64))], 255, shift=4)
        return coverage

    def blob(self, points: Sequence[Point], *, steps: int = 12) -> Coverage:
        """Return the area of a smooth closed curve through the points (Catmull-Rom)."""
        knots = np.asarray(points, np.float64)
        t = (np.arange(steps) / steps)[None, :, None]
        before, start, end, after = (np.roll(knots, shift, axis=0)[:, None, :] for shift in (1, 0, -1, -2))
        curve = 0.5 * (
            2 * start
            + (end - before) * t
            + (2 * before - 5 * start + 4 * end - after) * t**2
            + (3 * start - before - 3 * end + after) * t**3
        )  # (num_points, steps, 2)
        coverage = np.zeros_like(self._alpha)
        cv2.fillPoly(coverage, [self._pixels(curve.reshape(-1, 2))], 255, shift=4)
        return coverage

    def ellipse(self, centre: Point, radii: tuple[float, float], *, degrees: float = 0.0) -> Coverage:
        """Return the area of an ellipse."""
        turn = np.deg2rad(degrees)
        angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
        points = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)
        coverage = np.zeros_like(self._alpha)
        cv2.fillPoly(coverage, [self._pixels(points + np.asarray(centre))], 255, shift=4)
        return coverage

    def stroke(self, points: Sequence[Point], width: float) -> Coverage:
        """Return the area of a line with round ends through the points."""
        coverage = np.zeros_like(self._alpha)
        pixels = self._pixels(np.asarray(points, np.float64))
        cv2.polylines(coverage, [pixels], False, 255, max(round(width * self._unit), 1), cv2.LINE_8, shift=4)
        return coverage

    def paint(
        self,
        coverage: Coverage,
        colour: Colour,
        *,
        texture: str = "plain",
        relief: float = 0.5,
        part: str | None = None,
    ) -> None:
        """Paint an area with a colour, shaded as if it bulged towards the viewer.

        Args:
            coverage: the area.
            colour: colour at the middle of the area.
            texture: a name in `TEXTURES`.
            relief: strength of the shading: 0 flat, 1 round.
            part: the part that the area belongs to; None: the object itself.
        """
        x, y, width, height = cv2.boundingRect(coverage)
        if not width:
            return
        window = np.s_[y : y + height, x : x + width]
        inside = coverage[window] > 0
        shade = TEXTURES[texture](height, width, self._rng) * _bulge(coverage[window], relief)
        layer = np.asarray(colour, np.float32) * shade[..., None]
        self._colours[window][inside] = layer[inside]
        self._alpha[window][inside] = 255
        self._labels[window][inside] = self._part_label(part)

    def cut(self, coverage: Coverage) -> None:
        """Cut a hole."""
        hole = coverage > 0
        self._alpha[hole] = 0
        self._labels[hole] = 0
        self._colours[hole] = 0

    def finish(self, *, shadow: bool = False) -> Sprite:
        """Return the sprite, downsampled to the requested size, with an empty margin.

        Args:
            shadow: add a soft shadow on the floor below the object.
        """
        opaque = (self._alpha > 0)[..., None]
        colours = np.where(opaque, np.clip(self._colours, 0, 255), 0).astype(np.uint8)
        layers = [np.dstack([colours, self._alpha])]
        layers += [np.where(self._labels == label + 1, np.uint8(255), np.uint8(0)) for label in range(len(self._parts))]
        height, width = (max(side // OVERSAMPLING, 1) for side in self._alpha.shape)
        rgba, *parts = (
            cv2.copyMakeBorder(
                cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA), 2, 2, 2, 2, cv2.BORDER_CONSTANT
            )
            for layer in layers
        )
        coverage = rgba[..., 3].astype(np.uint8)
        if shadow:
            rgba[..., 3] = coverage + _shadow(coverage) * (1 - coverage / 255.0)
        corners = cv2.findNonZero(rgba[..., 3])
        outline = cv2.convexHull(corners if corners is not None else np.zeros((1, 1, 2), np.int32))
        points = outline.reshape(-1, 2).astype(np.float32)
        return Sprite(rgba.astype(np.uint8), coverage, tuple(part.astype(np.uint8) for part in parts), points)

    def _pixels(self, points: Float64Array) -> npt.NDArray[np.int32]:
        """Convert raster units to OpenCV's fixed-point pixels with four fractional bits."""
        return np.round(points * self._unit * 16).astype(np.int32)

    def _part_label(self, part: str | None) -> int:
        if part is None:
            return 0
        if part not in self._parts:
            self._parts.append(part)
        return self._parts.index(part) + 1


def _shadow(coverage: Coverage) -> Float32Array:
    """Return the darkness (H, W), 0..110, of the floor below an object."""
    height, width = coverage.shape
    x, _, extent, _ = cv2.boundingRect(coverage[-max(height // 5, 1) :])
    shadow = np.zeros((height, width), np.float32)
    thickness = max(height / 34, 1.0)
    centre = (x + extent // 2, round(height - 3 - 1.6 * thickness))
    cv2.ellipse(shadow, centre, (max(round(extent * 0.5), 1), round(thickness)), 0, 0, 360, 110.0, -1)
    soft = cv2.GaussianBlur(shadow, (0, 0), thickness * 0.45).astype(np.float32)
    soft[[0, -1]] = 0
    soft[:, [0, -1]] = 0
    return soft


def _bulge(coverage: Coverage, relief: float) -> Float32Array:
    """Return the brightness (H, W), around 1, of a pillow with this outline under the scene's light."""
    if relief <= 0:
        return np.ones(coverage.shape, np.float32)
    padded = cv2.copyMakeBorder(coverage, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    deepest = max(float(distance.max()), 1.0)
    height = np.sqrt(1.0 - np.square(1.0 - distance / deepest)) * deepest
    height = cv2.GaussianBlur(height, (0, 0), max(deepest / 5, 0.8))
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    facing = (LIGHT[2] - slope_x * LIGHT[0] - slope_y * LIGHT[1]) / np.sqrt(1 + slope_x**2 + slope_y**2)
    # A flat surface keeps its colour; slopes are lighter or darker, depending on their angle to the light.
    shade = 1.0 + relief * np.clip((facing / LIGHT[2] - 1.0) * 0.9, -0.75, 0.45)
    return np.asarray(shade, np.float32)
