"""Small things that a hand can hold."""

from __future__ import annotations

import numpy as np

from streamseg.synthetic.raster import Canvas, Point
from streamseg.synthetic.shapes.colours import paint_colour, pick, scaled
from streamseg.synthetic.textures import Rng

__all__ = ["draw_ball", "draw_bottle", "draw_gear", "draw_mug", "draw_ring"]


def draw_mug(canvas: Canvas, rng: Rng) -> None:
    """A mug of coffee; its handle is a ring."""
    colour = paint_colour(rng)
    pattern = str(rng.choice(["plain", "striped", "dotted", "speckled"]))
    canvas.paint(canvas.ellipse((0.78, 0.5), (0.25, 0.27)), colour, part="handle")
    canvas.cut(canvas.ellipse((0.78, 0.5), (0.16, 0.18)))
    wall = [(0.06, 0.14), (0.08, 0.86), (0.16, 0.94), (0.38, 0.98), (0.6, 0.94), (0.69, 0.86), (0.72, 0.14)]
    canvas.paint(canvas.polygon(wall), colour, texture=pattern, relief=0.8)
    canvas.paint(canvas.ellipse((0.39, 0.14), (0.33, 0.11)), scaled(colour, 1.1), relief=0.2)
    canvas.paint(canvas.ellipse((0.39, 0.15), (0.29, 0.085)), (74, 46, 30), relief=0.2)


def draw_ball(canvas: Canvas, rng: Rng) -> None:
    """A ball, sometimes with seams."""
    colour, second = paint_colour(rng), paint_colour(rng)
    canvas.paint(
        canvas.ellipse((0.5, 0.5), (0.48, 0.48)), colour, texture=str(rng.choice(["plain", "dotted"])), relief=1.0
    )
    if rng.random() < 0.6:
        for turn in (0.0, 60.0, 120.0):
            seam = [(0.5 + 0.44 * np.cos(a), 0.5 + 0.13 * np.sin(a)) for a in np.linspace(0, np.pi, 12)]
            radians = np.deg2rad(turn)
            turned = [
                (
                    0.5 + (x - 0.5) * np.cos(radians) - (y - 0.5) * np.sin(radians),
                    0.5 + (x - 0.5) * np.sin(radians) + (y - 0.5) * np.cos(radians),
                )
                for x, y in seam
            ]
            canvas.paint(canvas.stroke(turned, 0.05), second, relief=0)


def draw_ring(canvas: Canvas, rng: Rng) -> None:
    """A doughnut with icing."""
    colour = paint_colour(rng)
    canvas.paint(canvas.ellipse((0.5, 0.5), (0.48, 0.48)), (206, 156, 98), texture="speckled", relief=0.7)
    wobble = [(0.5 + 0.41 * r * np.cos(a), 0.5 + 0.41 * r * np.sin(a)) for a, r in _wobbly(rng, 14)]
    canvas.paint(canvas.blob(wobble), colour, relief=0.5, part="icing")
    for _ in range(26):
        angle, radius, turn = rng.uniform(0, 2 * np.pi), rng.uniform(0.24, 0.36), rng.uniform(0, np.pi)
        x, y = 0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)
        end = (x + 0.035 * np.cos(turn), y + 0.035 * np.sin(turn))
        canvas.paint(canvas.stroke([(x, y), end], 0.018), paint_colour(rng), relief=0, part="icing")
    canvas.cut(canvas.ellipse((0.5, 0.5), (0.16, 0.16)))


def _wobbly(rng: Rng, count: int) -> list[tuple[float, float]]:
    return [(2 * np.pi * i / count, rng.uniform(0.92, 1.06)) for i in range(count)]


def draw_bottle(canvas: Canvas, rng: Rng) -> None:
    """A bottle with a label and a cap."""
    glass = pick(((70, 130, 84), (150, 190, 206), (150, 92, 42), (196, 60, 54)), rng)
    half: list[Point] = [(0.055, 0.08), (0.055, 0.22), (0.14, 0.36), (0.15, 0.5), (0.15, 0.93), (0.1, 0.985)]
    outline = [(0.18 + x, y) for x, y in half] + [(0.18 - x, y) for x, y in reversed(half)]
    canvas.paint(canvas.polygon(outline), glass, relief=0.9)
    canvas.paint(canvas.stroke([(0.1, 0.42), (0.1, 0.88)], 0.018), scaled(glass, 1.7), relief=0)
    paper = [(0.03, 0.5), (0.33, 0.5), (0.33, 0.8), (0.03, 0.8)]
    canvas.paint(canvas.polygon(paper), paint_colour(rng), texture=str(rng.choice(["striped", "plain"])), part="label")
    canvas.paint(canvas.ellipse((0.18, 0.65), (0.085, 0.085)), (240, 236, 224), relief=0.2, part="label")
    canvas.paint(canvas.polygon([(0.11, 0.02), (0.25, 0.02), (0.25, 0.1), (0.11, 0.1)]), paint_colour(rng), part="cap")


def draw_gear(canvas: Canvas, rng: Rng) -> None:
    """A gear with holes."""
    metal = pick(((156, 160, 168), (186, 152, 86), (110, 116, 128)), rng)
    teeth = int(rng.integers(8, 13))
    angles = np.linspace(0, 2 * np.pi, teeth * 4, endpoint=False)
    radii = np.tile([0.48, 0.48, 0.38, 0.38], teeth)
    points = [(0.5 + float(r * np.cos(a)), 0.5 + float(r * np.sin(a))) for a, r in zip(angles, radii, strict=True)]
    canvas.paint(canvas.polygon(points), metal, texture="speckled", relief=0.5)
    for hole in range(4):
        turn = np.pi * hole / 2 + 0.4
        canvas.cut(canvas.ellipse((0.5 + 0.22 * float(np.cos(turn)), 0.5 + 0.22 * float(np.sin(turn))), (0.085, 0.085)))
    canvas.paint(canvas.ellipse((0.5, 0.5), (0.11, 0.11)), scaled(metal, 0.7), relief=0.9)
    canvas.cut(canvas.ellipse((0.5, 0.5), (0.05, 0.05)))
