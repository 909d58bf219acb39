"""What stands in a house or a garden."""

from __future__ import annotations

from streamseg.synthetic.raster import Canvas
from streamseg.synthetic.shapes.colours import paint_colour, pick, scaled
from streamseg.synthetic.textures import Rng

__all__ = ["draw_chair", "draw_crate", "draw_house", "draw_lamp"]


def draw_chair(canvas: Canvas, rng: Rng) -> None:
    """A wooden chair with a seat; one sees through its back."""
    wood = pick(((170, 112, 66), (96, 64, 44), (206, 170, 120), (70, 84, 104)), rng)
    for x, foot in ((0.2, 0.26), (0.58, 0.66)):
        canvas.paint(canvas.stroke([(x, 0.55), (foot, 0.9)], 0.045), scaled(wood, 0.6), texture="wooden")
    for x in (0.1, 0.5):
        canvas.paint(canvas.stroke([(x, 0.04), (x, 0.97)], 0.055), wood, texture="wooden")
    for y in (0.08, 0.22, 0.36):
        canvas.paint(canvas.stroke([(0.1, y), (0.5, y)], 0.06), wood, texture="wooden")
    seat = [(0.06, 0.52), (0.54, 0.52), (0.7, 0.6), (0.68, 0.66), (0.12, 0.66)]
    canvas.paint(canvas.polygon(seat), paint_colour(rng), texture=str(rng.choice(["woven", "checked"])), part="seat")


def draw_lamp(canvas: Canvas, rng: Rng) -> None:
    """A lamp on a stand, with a shade."""
    metal = pick(((70, 70, 76), (176, 148, 96), (190, 192, 198)), rng)
    canvas.paint(canvas.ellipse((0.25, 0.955), (0.15, 0.035)), metal, relief=0.6)
    canvas.paint(canvas.stroke([(0.25, 0.3), (0.25, 0.95)], 0.03), metal)
    shade = [(0.15, 0.02), (0.35, 0.02), (0.46, 0.34), (0.04, 0.34)]
    canvas.paint(canvas.polygon(shade), (250, 226, 160), texture=str(rng.choice(["woven", "striped"])), part="shade")


def draw_crate(canvas: Canvas, rng: Rng) -> None:
    """A wooden crate with a label."""
    colour = pick(((196, 152, 98), (170, 124, 80), (120, 140, 160), (176, 92, 76)), rng)
    lean = rng.uniform(0.2, 0.34)
    face = [(0.04, 0.3), (0.82, 0.3), (0.82, 0.97), (0.04, 0.97)]
    canvas.paint(
        canvas.polygon([(0.04, 0.3), (0.04 + lean, 0.05), (0.82 + lean, 0.05), (0.82, 0.3)]),
        scaled(colour, 1.2),
        relief=0,
    )
    side = [(0.82, 0.3), (0.82 + lean, 0.05), (0.82 + lean, 0.72), (0.82, 0.97)]
    canvas.paint(canvas.polygon(side), scaled(colour, 0.62), texture="wooden", relief=0)
    canvas.paint(canvas.polygon(face), colour, texture="wooden", relief=0.1)
    for y in (0.33, 0.62, 0.94):
        canvas.paint(canvas.stroke([(0.07, y), (0.79, y)], 0.025), scaled(colour, 0.55), relief=0)
    label = [(0.24, 0.42), (0.62, 0.42), (0.62, 0.74), (0.24, 0.74)]
    canvas.paint(canvas.polygon(label), (236, 232, 218), relief=0.1, part="label")
    for y in (0.5, 0.58, 0.66):
        canvas.paint(
            canvas.stroke([(0.29, y), (rng.uniform(0.42, 0.57), y)], 0.03), (70, 70, 78), relief=0, part="label"
        )


def draw_house(canvas: Canvas, rng: Rng) -> None:
    """A bird house on a stake."""
    wall, roof = paint_colour(rng), scaled(paint_colour(rng), 0.7)
    canvas.paint(canvas.stroke([(0.4, 0.6), (0.4, 0.98)], 0.06), (120, 86, 58), texture="wooden")
    walls = [(0.16, 0.3), (0.4, 0.1), (0.64, 0.3), (0.64, 0.72), (0.16, 0.72)]
    canvas.paint(canvas.polygon(walls), wall, texture="wooden", relief=0.15)
    canvas.paint(canvas.stroke([(0.06, 0.36), (0.4, 0.06), (0.74, 0.36)], 0.09), roof, texture="wooden", part="roof")
    canvas.paint(canvas.ellipse((0.4, 0.44), (0.1, 0.1)), (40, 32, 28), relief=0.2, part="door")
    canvas.paint(canvas.stroke([(0.4, 0.6), (0.46, 0.63)], 0.03), (150, 110, 70))
