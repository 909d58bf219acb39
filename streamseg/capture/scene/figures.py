"""The objects of the rendered scene: people, animals, vehicles, furniture and small things."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from streamseg.capture.scene.canvas import Canvas, Colour, Point, Sprite
from streamseg.capture.scene.textures import Rng

__all__ = ["FIGURES", "Figure", "draw_figure"]


@dataclass(frozen=True)
class Figure:
    """A kind of object."""

    draw: Callable[[Canvas, Rng], None]
    aspect: float
    """Width over height of its canvas."""
    height: float
    """Largest height relative to the short side of the picture."""
    grounded: bool
    """Stands on the floor: it stays upright, crosses sideways, and is the larger the nearer it is."""


def draw_figure(figure: Figure, height_px: int, rng: Rng) -> Sprite:
    """Draw one object of a kind, `height_px` tall, with colours and a build of its own."""
    canvas = Canvas(height_px, figure.aspect, rng)
    figure.draw(canvas, rng)
    return canvas.finish(shadow=figure.grounded)


SKIN: tuple[Colour, ...] = ((244, 208, 177), (224, 172, 125), (190, 130, 90), (140, 90, 60), (92, 58, 40))
HAIR: tuple[Colour, ...] = ((38, 30, 26), (84, 54, 34), (150, 104, 60), (205, 175, 120), (150, 148, 146))


def _paint_colour(rng: Rng) -> Colour:
    """Any hue, from pale to strong, neither black nor white."""
    hue, strength, value = rng.uniform(0, 6), rng.uniform(0.15, 0.85), rng.uniform(110, 235)
    wheel = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    red, green, blue = value * (1 - strength + strength * wheel)
    return float(red), float(green), float(blue)


def _scaled(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _pick(choices: tuple[Colour, ...], rng: Rng) -> Colour:
    return choices[int(rng.integers(len(choices)))]


def _person(canvas: Canvas, rng: Rng) -> None:
    skin, hair = _pick(SKIN, rng), _pick(HAIR, rng)
    shirt, trousers, shoes = _paint_colour(rng), _scaled(_paint_colour(rng), 0.6), _scaled(_paint_colour(rng), 0.4)
    cloth = str(rng.choice(["woven", "striped", "checked", "plain", "dotted"]))
    middle, stride = 0.25, rng.uniform(0.03, 0.1)
    width = rng.uniform(0.095, 0.125)
    for side in (-1, 1):
        hip, knee = (middle + side * 0.045, 0.52), (middle + side * (0.05 + stride * 0.6), 0.73)
        foot = (middle + side * (0.05 + stride), 0.945)
        canvas.paint(canvas.stroke([hip, knee, foot], 0.082), trousers, texture="woven", part="legs")
        toe = (foot[0] + 0.045, 0.972)
        canvas.paint(canvas.stroke([(foot[0] - 0.01, 0.968), toe], 0.045), shoes, part="legs")
    arms = []
    for side in (-1, 1):
        shoulder = (middle + side * (width - 0.005), 0.225)
        swing = rng.uniform(-0.1, 0.9)
        elbow = (shoulder[0] + side * (0.03 + 0.07 * swing), 0.37 - 0.07 * swing)
        hand = (elbow[0] + side * 0.11 * swing - 0.02 * side, elbow[1] + 0.14 * (0.9 - 1.3 * swing))
        arms.append((side, shoulder, elbow, hand))
    for _, _, elbow, hand in arms:
        canvas.paint(canvas.stroke([elbow, hand], 0.046), skin)
        canvas.paint(canvas.ellipse(hand, (0.028, 0.03)), skin)
    canvas.paint(canvas.stroke([(middle, 0.14), (middle, 0.2)], 0.062), _scaled(skin, 0.85), relief=0.2)
    torso = [(-width, 0.2), (0, 0.175), (width, 0.2), (width * 0.86, 0.4), (width * 0.85, 0.55), (-width * 0.85, 0.55)]
    torso.append((-width * 0.86, 0.4))
    canvas.paint(canvas.blob([(middle + x, y) for x, y in torso]), shirt, texture=cloth, part="torso")
    for _, shoulder, elbow, _ in arms:
        canvas.paint(canvas.stroke([shoulder, elbow], 0.07), shirt, texture=cloth, part="torso")
    canvas.paint(canvas.ellipse((middle, 0.082), (0.072, 0.08)), hair, relief=0.6, part="head")
    canvas.paint(canvas.ellipse((middle + 0.012, 0.1), (0.056, 0.066)), skin, relief=0.45, part="head")
    for eye in (-0.012, 0.038):
        canvas.paint(canvas.ellipse((middle + eye, 0.092), (0.008, 0.008)), (30, 25, 25), relief=0, part="head")
    canvas.paint(canvas.stroke([(middle - 0.005, 0.134), (middle + 0.032, 0.134)], 0.009), (150, 60, 55), part="head")


def _car(canvas: Canvas, rng: Rng) -> None:
    colour = _paint_colour(rng)
    roof = rng.uniform(0.0, 0.1)
    cabin = [(0.52, 0.4), (0.78, 0.08 + roof), (1.45, 0.06 + roof), (1.82, 0.4)]
    canvas.paint(canvas.polygon(cabin), _scaled(colour, 0.92))
    body = [(0.06, 0.5), (0.14, 0.4), (0.6, 0.35), (1.2, 0.33), (1.8, 0.37), (2.12, 0.46), (2.15, 0.72), (1.1, 0.8)]
    canvas.paint(canvas.blob([*body, (0.08, 0.74)]), colour, relief=0.7)
    glass = (92.0, 118.0, 138.0)
    canvas.paint(
        canvas.polygon([(0.66, 0.38), (0.85, 0.14 + roof), (1.1, 0.13 + roof), (1.1, 0.38)]), glass, part="window"
    )
    canvas.paint(
        canvas.polygon([(1.16, 0.38), (1.16, 0.13 + roof), (1.4, 0.13 + roof), (1.66, 0.38)]), glass, part="window"
    )
    canvas.paint(canvas.stroke([(1.13, 0.36), (1.13, 0.74)], 0.012), _scaled(colour, 0.6), relief=0)
    canvas.paint(canvas.stroke([(1.22, 0.46), (1.34, 0.46)], 0.025), _scaled(colour, 0.5))
    canvas.paint(canvas.ellipse((2.07, 0.52), (0.055, 0.07)), (255, 244, 200))
    canvas.paint(canvas.ellipse((0.12, 0.52), (0.045, 0.06)), (190, 40, 36))
    for name, x in (("rear wheel", 0.5), ("front wheel", 1.68)):
        canvas.paint(canvas.ellipse((x, 0.76), (0.225, 0.225)), (42, 42, 45), texture="speckled", part=name)
        canvas.paint(canvas.ellipse((x, 0.76), (0.125, 0.125)), (186, 188, 194), relief=0.8, part=name)
        for spoke in range(5):
            turn = spoke * 2 * np.pi / 5
            tip = (x + 0.1 * float(np.cos(turn)), 0.76 + 0.1 * float(np.sin(turn)))
            canvas.paint(canvas.stroke([(x, 0.76), tip], 0.02), (95, 96, 102), relief=0.2, part=name)


def _animal(canvas: Canvas, rng: Rng) -> None:
    coat = _scaled(_pick(((196, 142, 84), (226, 214, 196), (88, 68, 56), (140, 136, 134), (214, 170, 110)), rng), 1.0)
    fur = str(rng.choice(["speckled", "striped", "speckled", "dotted"]))
    tail = rng.uniform(0.05, 0.4)
    canvas.paint(canvas.stroke([(0.22, 0.48), (0.1, 0.38), (0.07, tail)], 0.06), coat, texture=fur)
    for x in (0.3, 0.86):
        canvas.paint(
            canvas.stroke([(x, 0.6), (x + 0.05, 0.78), (x + 0.02, 0.95)], 0.085), _scaled(coat, 0.75), texture=fur
        )
    body = [(0.18, 0.45), (0.45, 0.37), (0.85, 0.38), (1.0, 0.5), (0.92, 0.68), (0.55, 0.7), (0.25, 0.68)]
    canvas.paint(canvas.blob(body), coat, texture=fur, relief=0.8)
    for x in (0.24, 0.93):
        canvas.paint(canvas.stroke([(x, 0.6), (x - 0.03, 0.8), (x, 0.955)], 0.09), coat, texture=fur)
    canvas.paint(canvas.stroke([(0.93, 0.48), (1.04, 0.3)], 0.17), coat, texture=fur)
    for x in (1.0, 1.16):
        ear = [(x - 0.05, 0.16), (x + rng.uniform(-0.06, 0.06), 0.02), (x + 0.06, 0.17)]
        canvas.paint(canvas.polygon(ear), _scaled(coat, 0.8), part="head")
    canvas.paint(canvas.ellipse((1.09, 0.24), (0.14, 0.125)), coat, texture=fur, relief=0.7, part="head")
    canvas.paint(canvas.ellipse((1.2, 0.29), (0.09, 0.065), degrees=10), _scaled(coat, 1.12), part="head")
    canvas.paint(canvas.ellipse((1.275, 0.27), (0.022, 0.02)), (35, 28, 28), part="head")
    canvas.paint(canvas.ellipse((1.12, 0.21), (0.02, 0.022)), (24, 20, 20), relief=0, part="head")


def _mug(canvas: Canvas, rng: Rng) -> None:
    colour = _paint_colour(rng)
    pattern = str(rng.choice(["plain", "striped", "dotted", "speckled"]))
    canvas.paint(canvas.ellipse((0.78, 0.5), (0.25, 0.27)), colour, part="handle")
    canvas.cut(canvas.ellipse((0.78, 0.5), (0.16, 0.18)))
    wall = [(0.06, 0.14), (0.08, 0.86), (0.16, 0.94), (0.38, 0.98), (0.6, 0.94), (0.69, 0.86), (0.72, 0.14)]
    canvas.paint(canvas.polygon(wall), colour, texture=pattern, relief=0.8)
    canvas.paint(canvas.ellipse((0.39, 0.14), (0.33, 0.11)), _scaled(colour, 1.1), relief=0.2)
    canvas.paint(canvas.ellipse((0.39, 0.15), (0.29, 0.085)), (74, 46, 30), relief=0.2)


def _ball(canvas: Canvas, rng: Rng) -> None:
    colour, second = _paint_colour(rng), _paint_colour(rng)
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


def _crate(canvas: Canvas, rng: Rng) -> None:
    colour = _pick(((196, 152, 98), (170, 124, 80), (120, 140, 160), (176, 92, 76)), rng)
    lean = rng.uniform(0.2, 0.34)
    face = [(0.04, 0.3), (0.82, 0.3), (0.82, 0.97), (0.04, 0.97)]
    canvas.paint(
        canvas.polygon([(0.04, 0.3), (0.04 + lean, 0.05), (0.82 + lean, 0.05), (0.82, 0.3)]),
        _scaled(colour, 1.2),
        relief=0,
    )
    side = [(0.82, 0.3), (0.82 + lean, 0.05), (0.82 + lean, 0.72), (0.82, 0.97)]
    canvas.paint(canvas.polygon(side), _scaled(colour, 0.62), texture="wooden", relief=0)
    canvas.paint(canvas.polygon(face), colour, texture="wooden", relief=0.1)
    for y in (0.33, 0.62, 0.94):
        canvas.paint(canvas.stroke([(0.07, y), (0.79, y)], 0.025), _scaled(colour, 0.55), relief=0)
    label = [(0.24, 0.42), (0.62, 0.42), (0.62, 0.74), (0.24, 0.74)]
    canvas.paint(canvas.polygon(label), (236, 232, 218), relief=0.1, part="label")
    for y in (0.5, 0.58, 0.66):
        canvas.paint(
            canvas.stroke([(0.29, y), (rng.uniform(0.42, 0.57), y)], 0.03), (70, 70, 78), relief=0, part="label"
        )


def _leaf(canvas: Canvas, rng: Rng) -> None:
    colour = _pick(((92, 148, 62), (190, 122, 44), (170, 60, 40), (204, 176, 62), (60, 112, 66)), rng)
    lobes = int(rng.integers(3, 6))
    angles = np.linspace(-np.pi, np.pi, 73)[:-1]
    reach = 0.3 + 0.13 * np.cos(angles * lobes) + 0.05 * np.cos(angles)
    points = [(0.5 + float(r * np.sin(a)), 0.45 - float(r * np.cos(a))) for a, r in zip(angles, reach, strict=True)]
    canvas.paint(canvas.stroke([(0.5, 0.5), (0.52, 0.8), (0.47, 0.97)], 0.035), _scaled(colour, 0.6))
    canvas.paint(canvas.polygon(points), colour, texture="speckled", relief=0.5)
    for lobe in range(lobes):
        turn = 2 * np.pi * lobe / lobes
        tip = (0.5 + 0.36 * float(np.sin(turn)), 0.45 - 0.36 * float(np.cos(turn)))
        canvas.paint(canvas.stroke([(0.5, 0.45), tip], 0.016), _scaled(colour, 1.3), relief=0)


def _ring(canvas: Canvas, rng: Rng) -> None:
    colour = _paint_colour(rng)
    canvas.paint(canvas.ellipse((0.5, 0.5), (0.48, 0.48)), (206, 156, 98), texture="speckled", relief=0.7)
    wobble = [(0.5 + 0.41 * r * np.cos(a), 0.5 + 0.41 * r * np.sin(a)) for a, r in _wobbly(rng, 14)]
    canvas.paint(canvas.blob(wobble), colour, relief=0.5, part="icing")
    for _ in range(26):
        angle, radius, turn = rng.uniform(0, 2 * np.pi), rng.uniform(0.24, 0.36), rng.uniform(0, np.pi)
        x, y = 0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)
        end = (x + 0.035 * np.cos(turn), y + 0.035 * np.sin(turn))
        canvas.paint(canvas.stroke([(x, y), end], 0.018), _paint_colour(rng), relief=0, part="icing")
    canvas.cut(canvas.ellipse((0.5, 0.5), (0.16, 0.16)))


def _wobbly(rng: Rng, count: int) -> list[tuple[float, float]]:
    return [(2 * np.pi * i / count, rng.uniform(0.92, 1.06)) for i in range(count)]


def _bottle(canvas: Canvas, rng: Rng) -> None:
    glass = _pick(((70, 130, 84), (150, 190, 206), (150, 92, 42), (196, 60, 54)), rng)
    half: list[Point] = [(0.055, 0.08), (0.055, 0.22), (0.14, 0.36), (0.15, 0.5), (0.15, 0.93), (0.1, 0.985)]
    outline = [(0.18 + x, y) for x, y in half] + [(0.18 - x, y) for x, y in reversed(half)]
    canvas.paint(canvas.polygon(outline), glass, relief=0.9)
    canvas.paint(canvas.stroke([(0.1, 0.42), (0.1, 0.88)], 0.018), _scaled(glass, 1.7), relief=0)
    paper = [(0.03, 0.5), (0.33, 0.5), (0.33, 0.8), (0.03, 0.8)]
    canvas.paint(canvas.polygon(paper), _paint_colour(rng), texture=str(rng.choice(["striped", "plain"])), part="label")
    canvas.paint(canvas.ellipse((0.18, 0.65), (0.085, 0.085)), (240, 236, 224), relief=0.2, part="label")
    canvas.paint(canvas.polygon([(0.11, 0.02), (0.25, 0.02), (0.25, 0.1), (0.11, 0.1)]), _paint_colour(rng), part="cap")


def _plant(canvas: Canvas, rng: Rng) -> None:
    green = _pick(((72, 128, 62), (54, 104, 74), (120, 152, 70)), rng)
    for index in range(int(rng.integers(9, 13))):
        turn = np.deg2rad(rng.uniform(-75, 75))
        length = rng.uniform(0.28, 0.5)
        tip = (0.4 + length * 0.75 * float(np.sin(turn)), 0.62 - length * float(np.cos(turn)))
        canvas.paint(canvas.stroke([(0.4, 0.64), tip], 0.014), _scaled(green, 0.6))
        leaf = canvas.ellipse(tip, (0.05, 0.12), degrees=float(np.rad2deg(turn)))
        canvas.paint(
            leaf, _scaled(green, rng.uniform(0.7, 1.25)), texture="speckled", relief=0.6, part=None if index else "leaf"
        )
    clay = _pick(((190, 104, 70), (210, 206, 196), (88, 110, 140)), rng)
    canvas.paint(canvas.polygon([(0.2, 0.66), (0.6, 0.66), (0.54, 0.98), (0.26, 0.98)]), clay, relief=0.7, part="pot")
    canvas.paint(
        canvas.polygon([(0.17, 0.61), (0.63, 0.61), (0.63, 0.69), (0.17, 0.69)]), _scaled(clay, 1.1), part="pot"
    )


def _chair(canvas: Canvas, rng: Rng) -> None:
    wood = _pick(((170, 112, 66), (96, 64, 44), (206, 170, 120), (70, 84, 104)), rng)
    for x, foot in ((0.2, 0.26), (0.58, 0.66)):
        canvas.paint(canvas.stroke([(x, 0.55), (foot, 0.9)], 0.045), _scaled(wood, 0.6), texture="wooden")
    for x in (0.1, 0.5):
        canvas.paint(canvas.stroke([(x, 0.04), (x, 0.97)], 0.055), wood, texture="wooden")
    for y in (0.08, 0.22, 0.36):
        canvas.paint(canvas.stroke([(0.1, y), (0.5, y)], 0.06), wood, texture="wooden")
    seat = [(0.06, 0.52), (0.54, 0.52), (0.7, 0.6), (0.68, 0.66), (0.12, 0.66)]
    canvas.paint(canvas.polygon(seat), _paint_colour(rng), texture=str(rng.choice(["woven", "checked"])), part="seat")


def _fish(canvas: Canvas, rng: Rng) -> None:
    colour, fin = _paint_colour(rng), _paint_colour(rng)
    scales = str(rng.choice(["striped", "dotted", "checked"]))
    canvas.paint(canvas.blob([(0.5, 0.5), (0.08, 0.12), (0.2, 0.5), (0.08, 0.88)]), fin, part="tail")
    canvas.paint(canvas.blob([(0.8, 0.3), (0.9, 0.02), (1.3, 0.16), (1.3, 0.35)]), fin)
    canvas.paint(
        canvas.blob([(0.36, 0.5), (0.8, 0.18), (1.3, 0.2), (1.68, 0.5), (1.3, 0.8), (0.8, 0.82)]),
        colour,
        texture=scales,
    )
    canvas.paint(canvas.blob([(1.0, 0.52), (0.82, 0.74), (1.14, 0.66)]), _scaled(fin, 0.85))
    canvas.paint(canvas.ellipse((1.42, 0.42), (0.07, 0.07)), (246, 246, 240), relief=0.2)
    canvas.paint(canvas.ellipse((1.44, 0.42), (0.035, 0.035)), (20, 20, 24), relief=0)


def _gear(canvas: Canvas, rng: Rng) -> None:
    metal = _pick(((156, 160, 168), (186, 152, 86), (110, 116, 128)), rng)
    teeth = int(rng.integers(8, 13))
    angles = np.linspace(0, 2 * np.pi, teeth * 4, endpoint=False)
    radii = np.tile([0.48, 0.48, 0.38, 0.38], teeth)
    points = [(0.5 + float(r * np.cos(a)), 0.5 + float(r * np.sin(a))) for a, r in zip(angles, radii, strict=True)]
    canvas.paint(canvas.polygon(points), metal, texture="speckled", relief=0.5)
    for hole in range(4):
        turn = np.pi * hole / 2 + 0.4
        canvas.cut(canvas.ellipse((0.5 + 0.22 * float(np.cos(turn)), 0.5 + 0.22 * float(np.sin(turn))), (0.085, 0.085)))
    canvas.paint(canvas.ellipse((0.5, 0.5), (0.11, 0.11)), _scaled(metal, 0.7), relief=0.9)
    canvas.cut(canvas.ellipse((0.5, 0.5), (0.05, 0.05)))


def _lamp(canvas: Canvas, rng: Rng) -> None:
    metal = _pick(((70, 70, 76), (176, 148, 96), (190, 192, 198)), rng)
    canvas.paint(canvas.ellipse((0.25, 0.955), (0.15, 0.035)), metal, relief=0.6)
    canvas.paint(canvas.stroke([(0.25, 0.3), (0.25, 0.95)], 0.03), metal)
    shade = [(0.15, 0.02), (0.35, 0.02), (0.46, 0.34), (0.04, 0.34)]
    canvas.paint(canvas.polygon(shade), (250, 226, 160), texture=str(rng.choice(["woven", "striped"])), part="shade")


def _house(canvas: Canvas, rng: Rng) -> None:
    """A bird house on a stake."""
    wall, roof = _paint_colour(rng), _scaled(_paint_colour(rng), 0.7)
    canvas.paint(canvas.stroke([(0.4, 0.6), (0.4, 0.98)], 0.06), (120, 86, 58), texture="wooden")
    walls = [(0.16, 0.3), (0.4, 0.1), (0.64, 0.3), (0.64, 0.72), (0.16, 0.72)]
    canvas.paint(canvas.polygon(walls), wall, texture="wooden", relief=0.15)
    canvas.paint(canvas.stroke([(0.06, 0.36), (0.4, 0.06), (0.74, 0.36)], 0.09), roof, texture="wooden", part="roof")
    canvas.paint(canvas.ellipse((0.4, 0.44), (0.1, 0.1)), (40, 32, 28), relief=0.2, part="door")
    canvas.paint(canvas.stroke([(0.4, 0.6), (0.46, 0.63)], 0.03), (150, 110, 70))


FIGURES: dict[str, Figure] = {
    "person": Figure(_person, aspect=0.5, height=0.65, grounded=True),
    "car": Figure(_car, aspect=2.2, height=0.28, grounded=True),
    "ball": Figure(_ball, aspect=1.0, height=0.2, grounded=False),
    "animal": Figure(_animal, aspect=1.32, height=0.33, grounded=True),
    "mug": Figure(_mug, aspect=1.05, height=0.23, grounded=False),
    "leaf": Figure(_leaf, aspect=1.0, height=0.24, grounded=False),
    "plant": Figure(_plant, aspect=0.8, height=0.42, grounded=True),
    "ring": Figure(_ring, aspect=1.0, height=0.22, grounded=False),
    "chair": Figure(_chair, aspect=0.76, height=0.4, grounded=True),
    "bottle": Figure(_bottle, aspect=0.36, height=0.34, grounded=False),
    "fish": Figure(_fish, aspect=1.76, height=0.2, grounded=False),
    "crate": Figure(_crate, aspect=1.2, height=0.28, grounded=True),
    "lamp": Figure(_lamp, aspect=0.5, height=0.46, grounded=True),
    "gear": Figure(_gear, aspect=1.0, height=0.22, grounded=False),
    "house": Figure(_house, aspect=0.8, height=0.37, grounded=True),
}
"""By name. Every third one or so has no parts; several have holes."""
