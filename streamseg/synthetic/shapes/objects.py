"""Shapes of vehicles, furniture and small objects."""

from __future__ import annotations

import numpy as np

from streamseg.synthetic.raster import Point, Raster
from streamseg.synthetic.shapes.colours import paint_colour, pick, scaled
from streamseg.synthetic.textures import Rng

__all__ = [
    "draw_ball",
    "draw_bottle",
    "draw_car",
    "draw_chair",
    "draw_crate",
    "draw_gear",
    "draw_house",
    "draw_lamp",
    "draw_mug",
    "draw_ring",
]


def draw_car(raster: Raster, rng: Rng) -> None:
    """Draw a car from the side, with the parts window, rear wheel and front wheel."""
    colour = paint_colour(rng)
    roof = rng.uniform(0.0, 0.1)
    cabin = [(0.52, 0.4), (0.78, 0.08 + roof), (1.45, 0.06 + roof), (1.82, 0.4)]
    raster.paint(raster.polygon(cabin), scaled(colour, 0.92))
    body = [(0.06, 0.5), (0.14, 0.4), (0.6, 0.35), (1.2, 0.33), (1.8, 0.37), (2.12, 0.46), (2.15, 0.72), (1.1, 0.8)]
    raster.paint(raster.blob([*body, (0.08, 0.74)]), colour, relief=0.7)
    glass = (92.0, 118.0, 138.0)
    raster.paint(
        raster.polygon([(0.66, 0.38), (0.85, 0.14 + roof), (1.1, 0.13 + roof), (1.1, 0.38)]), glass, part="window"
    )
    raster.paint(
        raster.polygon([(1.16, 0.38), (1.16, 0.13 + roof), (1.4, 0.13 + roof), (1.66, 0.38)]), glass, part="window"
    )
    raster.paint(raster.stroke([(1.13, 0.36), (1.13, 0.74)], 0.012), scaled(colour, 0.6), relief=0)
    raster.paint(raster.stroke([(1.22, 0.46), (1.34, 0.46)], 0.025), scaled(colour, 0.5))
    raster.paint(raster.ellipse((2.07, 0.52), (0.055, 0.07)), (255, 244, 200))
    raster.paint(raster.ellipse((0.12, 0.52), (0.045, 0.06)), (190, 40, 36))
    for name, x in (("rear wheel", 0.5), ("front wheel", 1.68)):
        raster.paint(raster.ellipse((x, 0.76), (0.225, 0.225)), (42, 42, 45), texture="speckled", part=name)
        raster.paint(raster.ellipse((x, 0.76), (0.125, 0.125)), (186, 188, 194), relief=0.8, part=name)
        for spoke in range(5):
            turn = spoke * 2 * np.pi / 5
            tip = (x + 0.1 * float(np.cos(turn)), 0.76 + 0.1 * float(np.sin(turn)))
            raster.paint(raster.stroke([(x, 0.76), tip], 0.02), (95, 96, 102), relief=0.2, part=name)


def draw_chair(raster: Raster, rng: Rng) -> None:
    """Draw a wooden chair with the part seat; its back has gaps."""
    wood = pick(((170, 112, 66), (96, 64, 44), (206, 170, 120), (70, 84, 104)), rng)
    for x, foot in ((0.2, 0.26), (0.58, 0.66)):
        raster.paint(raster.stroke([(x, 0.55), (foot, 0.9)], 0.045), scaled(wood, 0.6), texture="wooden")
    for x in (0.1, 0.5):
        raster.paint(raster.stroke([(x, 0.04), (x, 0.97)], 0.055), wood, texture="wooden")
    for y in (0.08, 0.22, 0.36):
        raster.paint(raster.stroke([(0.1, y), (0.5, y)], 0.06), wood, texture="wooden")
    seat = [(0.06, 0.52), (0.54, 0.52), (0.7, 0.6), (0.68, 0.66), (0.12, 0.66)]
    raster.paint(raster.polygon(seat), paint_colour(rng), texture=str(rng.choice(["woven", "checked"])), part="seat")


def draw_lamp(raster: Raster, rng: Rng) -> None:
    """Draw a floor lamp with the part shade."""
    metal = pick(((70, 70, 76), (176, 148, 96), (190, 192, 198)), rng)
    raster.paint(raster.ellipse((0.25, 0.955), (0.15, 0.035)), metal, relief=0.6)
    raster.paint(raster.stroke([(0.25, 0.3), (0.25, 0.95)], 0.03), metal)
    shade = [(0.15, 0.02), (0.35, 0.02), (0.46, 0.34), (0.04, 0.34)]
    raster.paint(raster.polygon(shade), (250, 226, 160), texture=str(rng.choice(["woven", "striped"])), part="shade")


def draw_crate(raster: Raster, rng: Rng) -> None:
    """Draw a wooden crate with the part label."""
    colour = pick(((196, 152, 98), (170, 124, 80), (120, 140, 160), (176, 92, 76)), rng)
    lean = rng.uniform(0.2, 0.34)
    face = [(0.04, 0.3), (0.82, 0.3), (0.82, 0.97), (0.04, 0.97)]
    raster.paint(
        raster.polygon([(0.04, 0.3), (0.04 + lean, 0.05), (0.82 + lean, 0.05), (0.82, 0.3)]),
        scaled(colour, 1.2),
        relief=0,
    )
    side = [(0.82, 0.3), (0.82 + lean, 0.05), (0.82 + lean, 0.72), (0.82, 0.97)]
    raster.paint(raster.polygon(side), scaled(colour, 0.62), texture="wooden", relief=0)
    raster.paint(raster.polygon(face), colour, texture="wooden", relief=0.1)
    for y in (0.33, 0.62, 0.94):
        raster.paint(raster.stroke([(0.07, y), (0.79, y)], 0.025), scaled(colour, 0.55), relief=0)
    label = [(0.24, 0.42), (0.62, 0.42), (0.62, 0.74), (0.24, 0.74)]
    raster.paint(raster.polygon(label), (236, 232, 218), relief=0.1, part="label")
    for y in (0.5, 0.58, 0.66):
        raster.paint(
            raster.stroke([(0.29, y), (rng.uniform(0.42, 0.57), y)], 0.03), (70, 70, 78), relief=0, part="label"
        )


def draw_house(raster: Raster, rng: Rng) -> None:
    """Draw a bird house on a stake, with the parts roof and door."""
    wall, roof = paint_colour(rng), scaled(paint_colour(rng), 0.7)
    raster.paint(raster.stroke([(0.4, 0.6), (0.4, 0.98)], 0.06), (120, 86, 58), texture="wooden")
    walls = [(0.16, 0.3), (0.4, 0.1), (0.64, 0.3), (0.64, 0.72), (0.16, 0.72)]
    raster.paint(raster.polygon(walls), wall, texture="wooden", relief=0.15)
    raster.paint(raster.stroke([(0.06, 0.36), (0.4, 0.06), (0.74, 0.36)], 0.09), roof, texture="wooden", part="roof")
    raster.paint(raster.ellipse((0.4, 0.44), (0.1, 0.1)), (40, 32, 28), relief=0.2, part="door")
    raster.paint(raster.stroke([(0.4, 0.6), (0.46, 0.63)], 0.03), (150, 110, 70))


def draw_mug(raster: Raster, rng: Rng) -> None:
    """Draw a mug of coffee with the part handle, which has a hole."""
    colour = paint_colour(rng)
    pattern = str(rng.choice(["plain", "striped", "dotted", "speckled"]))
    raster.paint(raster.ellipse((0.78, 0.5), (0.25, 0.27)), colour, part="handle")
    raster.cut(raster.ellipse((0.78, 0.5), (0.16, 0.18)))
    wall = [(0.06, 0.14), (0.08, 0.86), (0.16, 0.94), (0.38, 0.98), (0.6, 0.94), (0.69, 0.86), (0.72, 0.14)]
    raster.paint(raster.polygon(wall), colour, texture=pattern, relief=0.8)
    raster.paint(raster.ellipse((0.39, 0.14), (0.33, 0.11)), scaled(colour, 1.1), relief=0.2)
    raster.paint(raster.ellipse((0.39, 0.15), (0.29, 0.085)), (74, 46, 30), relief=0.2)


def draw_ball(raster: Raster, rng: Rng) -> None:
    """Draw a ball, sometimes with seams."""
    colour, second = paint_colour(rng), paint_colour(rng)
    raster.paint(
        raster.ellipse((0.5, 0.5), (0.48, 0.48)), colour, texture=str(rng.choice(["plain", "dotted"])), relief=1.0
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
            raster.paint(raster.stroke(turned, 0.05), second, relief=0)


def draw_ring(raster: Raster, rng: Rng) -> None:
    """Draw a doughnut with the part icing."""
    colour = paint_colour(rng)
    raster.paint(raster.ellipse((0.5, 0.5), (0.48, 0.48)), (206, 156, 98), texture="speckled", relief=0.7)
    wobble = [(0.5 + 0.41 * r * np.cos(a), 0.5 + 0.41 * r * np.sin(a)) for a, r in _wobbly(rng, 14)]
    raster.paint(raster.blob(wobble), colour, relief=0.5, part="icing")
    for _ in range(26):
        angle, radius, turn = rng.uniform(0, 2 * np.pi), rng.uniform(0.24, 0.36), rng.uniform(0, np.pi)
        x, y = 0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)
        end = (x + 0.035 * np.cos(turn), y + 0.035 * np.sin(turn))
        raster.paint(raster.stroke([(x, y), end], 0.018), paint_colour(rng), relief=0, part="icing")
    raster.cut(raster.ellipse((0.5, 0.5), (0.16, 0.16)))


def _wobbly(rng: Rng, count: int) -> list[tuple[float, float]]:
    return [(2 * np.pi * i / count, rng.uniform(0.92, 1.06)) for i in range(count)]


def draw_bottle(raster: Raster, rng: Rng) -> None:
    """Draw a bottle with the parts label and cap."""
    glass = pick(((70, 130, 84), (150, 190, 206), (150, 92, 42), (196, 60, 54)), rng)
    half: list[Point] = [(0.055, 0.08), (0.055, 0.22), (0.14, 0.36), (0.15, 0.5), (0.15, 0.93), (0.1, 0.985)]
    outline = [(0.18 + x, y) for x, y in half] + [(0.18 - x, y) for x, y in reversed(half)]
    raster.paint(raster.polygon(outline), glass, relief=0.9)
    raster.paint(raster.stroke([(0.1, 0.42), (0.1, 0.88)], 0.018), scaled(glass, 1.7), relief=0)
    paper = [(0.03, 0.5), (0.33, 0.5), (0.33, 0.8), (0.03, 0.8)]
    raster.paint(raster.polygon(paper), paint_colour(rng), texture=str(rng.choice(["striped", "plain"])), part="label")
    raster.paint(raster.ellipse((0.18, 0.65), (0.085, 0.085)), (240, 236, 224), relief=0.2, part="label")
    raster.paint(raster.polygon([(0.11, 0.02), (0.25, 0.02), (0.25, 0.1), (0.11, 0.1)]), paint_colour(rng), part="cap")


def draw_gear(raster: Raster, rng: Rng) -> None:
    """Draw a gear with holes."""
    metal = pick(((156, 160, 168), (186, 152, 86), (110, 116, 128)), rng)
    teeth = int(rng.integers(8, 13))
    angles = np.linspace(0, 2 * np.pi, teeth * 4, endpoint=False)
    radii = np.tile([0.48, 0.48, 0.38, 0.38], teeth)
    points = [(0.5 + float(r * np.cos(a)), 0.5 + float(r * np.sin(a))) for a, r in zip(angles, radii, strict=True)]
    raster.paint(raster.polygon(points), metal, texture="speckled", relief=0.5)
    for hole in range(4):
        turn = np.pi * hole / 2 + 0.4
        raster.cut(raster.ellipse((0.5 + 0.22 * float(np.cos(turn)), 0.5 + 0.22 * float(np.sin(turn))), (0.085, 0.085)))
    raster.paint(raster.ellipse((0.5, 0.5), (0.11, 0.11)), scaled(metal, 0.7), relief=0.9)
    raster.cut(raster.ellipse((0.5, 0.5), (0.05, 0.05)))
