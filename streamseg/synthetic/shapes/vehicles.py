"""Vehicles."""

from __future__ import annotations

import numpy as np

from streamseg.synthetic.raster import Canvas
from streamseg.synthetic.shapes.colours import paint_colour, scaled
from streamseg.synthetic.textures import Rng

__all__ = ["draw_car"]


def draw_car(canvas: Canvas, rng: Rng) -> None:
    """A car from the side, with windows and wheels."""
    colour = paint_colour(rng)
    roof = rng.uniform(0.0, 0.1)
    cabin = [(0.52, 0.4), (0.78, 0.08 + roof), (1.45, 0.06 + roof), (1.82, 0.4)]
    canvas.paint(canvas.polygon(cabin), scaled(colour, 0.92))
    body = [(0.06, 0.5), (0.14, 0.4), (0.6, 0.35), (1.2, 0.33), (1.8, 0.37), (2.12, 0.46), (2.15, 0.72), (1.1, 0.8)]
    canvas.paint(canvas.blob([*body, (0.08, 0.74)]), colour, relief=0.7)
    glass = (92.0, 118.0, 138.0)
    canvas.paint(
        canvas.polygon([(0.66, 0.38), (0.85, 0.14 + roof), (1.1, 0.13 + roof), (1.1, 0.38)]), glass, part="window"
    )
    canvas.paint(
        canvas.polygon([(1.16, 0.38), (1.16, 0.13 + roof), (1.4, 0.13 + roof), (1.66, 0.38)]), glass, part="window"
    )
    canvas.paint(canvas.stroke([(1.13, 0.36), (1.13, 0.74)], 0.012), scaled(colour, 0.6), relief=0)
    canvas.paint(canvas.stroke([(1.22, 0.46), (1.34, 0.46)], 0.025), scaled(colour, 0.5))
    canvas.paint(canvas.ellipse((2.07, 0.52), (0.055, 0.07)), (255, 244, 200))
    canvas.paint(canvas.ellipse((0.12, 0.52), (0.045, 0.06)), (190, 40, 36))
    for name, x in (("rear wheel", 0.5), ("front wheel", 1.68)):
        canvas.paint(canvas.ellipse((x, 0.76), (0.225, 0.225)), (42, 42, 45), texture="speckled", part=name)
        canvas.paint(canvas.ellipse((x, 0.76), (0.125, 0.125)), (186, 188, 194), relief=0.8, part=name)
        for spoke in range(5):
            turn = spoke * 2 * np.pi / 5
            tip = (x + 0.1 * float(np.cos(turn)), 0.76 + 0.1 * float(np.sin(turn)))
            canvas.paint(canvas.stroke([(x, 0.76), tip], 0.02), (95, 96, 102), relief=0.2, part=name)
