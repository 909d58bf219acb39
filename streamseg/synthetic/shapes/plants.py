"""Plants and what falls from them."""

from __future__ import annotations

import numpy as np

from streamseg.synthetic.raster import Canvas
from streamseg.synthetic.shapes.colours import pick, scaled
from streamseg.synthetic.textures import Rng

__all__ = ["draw_leaf", "draw_plant"]


def draw_plant(canvas: Canvas, rng: Rng) -> None:
    """A plant in a pot."""
    green = pick(((72, 128, 62), (54, 104, 74), (120, 152, 70)), rng)
    for index in range(int(rng.integers(9, 13))):
        turn = np.deg2rad(rng.uniform(-75, 75))
        length = rng.uniform(0.28, 0.5)
        tip = (0.4 + length * 0.75 * float(np.sin(turn)), 0.62 - length * float(np.cos(turn)))
        canvas.paint(canvas.stroke([(0.4, 0.64), tip], 0.014), scaled(green, 0.6))
        leaf = canvas.ellipse(tip, (0.05, 0.12), degrees=float(np.rad2deg(turn)))
        canvas.paint(
            leaf, scaled(green, rng.uniform(0.7, 1.25)), texture="speckled", relief=0.6, part=None if index else "leaf"
        )
    clay = pick(((190, 104, 70), (210, 206, 196), (88, 110, 140)), rng)
    canvas.paint(canvas.polygon([(0.2, 0.66), (0.6, 0.66), (0.54, 0.98), (0.26, 0.98)]), clay, relief=0.7, part="pot")
    canvas.paint(
        canvas.polygon([(0.17, 0.61), (0.63, 0.61), (0.63, 0.69), (0.17, 0.69)]), scaled(clay, 1.1), part="pot"
    )


def draw_leaf(canvas: Canvas, rng: Rng) -> None:
    """A leaf of a tree."""
    colour = pick(((92, 148, 62), (190, 122, 44), (170, 60, 40), (204, 176, 62), (60, 112, 66)), rng)
    lobes = int(rng.integers(3, 6))
    angles = np.linspace(-np.pi, np.pi, 73)[:-1]
    reach = 0.3 + 0.13 * np.cos(angles * lobes) + 0.05 * np.cos(angles)
    points = [(0.5 + float(r * np.sin(a)), 0.45 - float(r * np.cos(a))) for a, r in zip(angles, reach, strict=True)]
    canvas.paint(canvas.stroke([(0.5, 0.5), (0.52, 0.8), (0.47, 0.97)], 0.035), scaled(colour, 0.6))
    canvas.paint(canvas.polygon(points), colour, texture="speckled", relief=0.5)
    for lobe in range(lobes):
        turn = 2 * np.pi * lobe / lobes
        tip = (0.5 + 0.36 * float(np.sin(turn)), 0.45 - 0.36 * float(np.cos(turn)))
        canvas.paint(canvas.stroke([(0.5, 0.45), tip], 0.016), scaled(colour, 1.3), relief=0)
