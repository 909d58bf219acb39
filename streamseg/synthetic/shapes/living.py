"""Shapes of people, animals and plants."""

from __future__ import annotations

import numpy as np

from streamseg.synthetic.raster import Colour, Raster
from streamseg.synthetic.shapes.colours import paint_colour, pick, scaled
from streamseg.synthetic.textures import Rng

__all__ = ["draw_animal", "draw_fish", "draw_leaf", "draw_person", "draw_plant"]

SKIN: tuple[Colour, ...] = ((244, 208, 177), (224, 172, 125), (190, 130, 90), (140, 90, 60), (92, 58, 40))
HAIR: tuple[Colour, ...] = ((38, 30, 26), (84, 54, 34), (150, 104, 60), (205, 175, 120), (150, 148, 146))


def draw_person(raster: Raster, rng: Rng) -> None:
    """Draw a person with the parts head, torso and legs."""
    skin, hair = pick(SKIN, rng), pick(HAIR, rng)
    shirt, trousers, shoes = paint_colour(rng), scaled(paint_colour(rng), 0.6), scaled(paint_colour(rng), 0.4)
    cloth = str(rng.choice(["woven", "striped", "checked", "plain", "dotted"]))
    middle, stride = 0.25, rng.uniform(0.03, 0.1)
    width = rng.uniform(0.095, 0.125)
    for side in (-1, 1):
        hip, knee = (middle + side * 0.045, 0.52), (middle + side * (0.05 + stride * 0.6), 0.73)
        foot = (middle + side * (0.05 + stride), 0.945)
        raster.paint(raster.stroke([hip, knee, foot], 0.082), trousers, texture="woven", part="legs")
        toe = (foot[0] + 0.045, 0.972)
        raster.paint(raster.stroke([(foot[0] - 0.01, 0.968), toe], 0.045), shoes, part="legs")
    arms = []
    for side in (-1, 1):
        shoulder = (middle + side * (width - 0.005), 0.225)
        swing = rng.uniform(-0.1, 0.9)
        elbow = (shoulder[0] + side * (0.03 + 0.07 * swing), 0.37 - 0.07 * swing)
        hand = (elbow[0] + side * 0.11 * swing - 0.02 * side, elbow[1] + 0.14 * (0.9 - 1.3 * swing))
        arms.append((side, shoulder, elbow, hand))
    for _, _, elbow, hand in arms:
        raster.paint(raster.stroke([elbow, hand], 0.046), skin)
        raster.paint(raster.ellipse(hand, (0.028, 0.03)), skin)
    raster.paint(raster.stroke([(middle, 0.14), (middle, 0.2)], 0.062), scaled(skin, 0.85), relief=0.2)
    torso = [(-width, 0.2), (0, 0.175), (width, 0.2), (width * 0.86, 0.4), (width * 0.85, 0.55), (-width * 0.85, 0.55)]
    torso.append((-width * 0.86, 0.4))
    raster.paint(raster.blob([(middle + x, y) for x, y in torso]), shirt, texture=cloth, part="torso")
    for _, shoulder, elbow, _ in arms:
        raster.paint(raster.stroke([shoulder, elbow], 0.07), shirt, texture=cloth, part="torso")
    raster.paint(raster.ellipse((middle, 0.082), (0.072, 0.08)), hair, relief=0.6, part="head")
    raster.paint(raster.ellipse((middle + 0.012, 0.1), (0.056, 0.066)), skin, relief=0.45, part="head")
    for eye in (-0.012, 0.038):
        raster.paint(raster.ellipse((middle + eye, 0.092), (0.008, 0.008)), (30, 25, 25), relief=0, part="head")
    raster.paint(raster.stroke([(middle - 0.005, 0.134), (middle + 0.032, 0.134)], 0.009), (150, 60, 55), part="head")


def draw_animal(raster: Raster, rng: Rng) -> None:
    """Draw a dog or a cat from the side, with the part head."""
    coat = scaled(pick(((196, 142, 84), (226, 214, 196), (88, 68, 56), (140, 136, 134), (214, 170, 110)), rng), 1.0)
    fur = str(rng.choice(["speckled", "striped", "speckled", "dotted"]))
    tail = rng.uniform(0.05, 0.4)
    raster.paint(raster.stroke([(0.22, 0.48), (0.1, 0.38), (0.07, tail)], 0.06), coat, texture=fur)
    for x in (0.3, 0.86):
        raster.paint(
            raster.stroke([(x, 0.6), (x + 0.05, 0.78), (x + 0.02, 0.95)], 0.085), scaled(coat, 0.75), texture=fur
        )
    body = [(0.18, 0.45), (0.45, 0.37), (0.85, 0.38), (1.0, 0.5), (0.92, 0.68), (0.55, 0.7), (0.25, 0.68)]
    raster.paint(raster.blob(body), coat, texture=fur, relief=0.8)
    for x in (0.24, 0.93):
        raster.paint(raster.stroke([(x, 0.6), (x - 0.03, 0.8), (x, 0.955)], 0.09), coat, texture=fur)
    raster.paint(raster.stroke([(0.93, 0.48), (1.04, 0.3)], 0.17), coat, texture=fur)
    for x in (1.0, 1.16):
        ear = [(x - 0.05, 0.16), (x + rng.uniform(-0.06, 0.06), 0.02), (x + 0.06, 0.17)]
        raster.paint(raster.polygon(ear), scaled(coat, 0.8), part="head")
    raster.paint(raster.ellipse((1.09, 0.24), (0.14, 0.125)), coat, texture=fur, relief=0.7, part="head")
    raster.paint(raster.ellipse((1.2, 0.29), (0.09, 0.065), degrees=10), scaled(coat, 1.12), part="head")
    raster.paint(raster.ellipse((1.275, 0.27), (0.022, 0.02)), (35, 28, 28), part="head")
    raster.paint(raster.ellipse((1.12, 0.21), (0.02, 0.022)), (24, 20, 20), relief=0, part="head")


def draw_fish(raster: Raster, rng: Rng) -> None:
    """Draw a fish with the part tail."""
    colour, fin = paint_colour(rng), paint_colour(rng)
    scales = str(rng.choice(["striped", "dotted", "checked"]))
    raster.paint(raster.blob([(0.5, 0.5), (0.08, 0.12), (0.2, 0.5), (0.08, 0.88)]), fin, part="tail")
    raster.paint(raster.blob([(0.8, 0.3), (0.9, 0.02), (1.3, 0.16), (1.3, 0.35)]), fin)
    raster.paint(
        raster.blob([(0.36, 0.5), (0.8, 0.18), (1.3, 0.2), (1.68, 0.5), (1.3, 0.8), (0.8, 0.82)]),
        colour,
        texture=scales,
    )
    raster.paint(raster.blob([(1.0, 0.52), (0.82, 0.74), (1.14, 0.66)]), scaled(fin, 0.85))
    raster.paint(raster.ellipse((1.42, 0.42), (0.07, 0.07)), (246, 246, 240), relief=0.2)
    raster.paint(raster.ellipse((1.44, 0.42), (0.035, 0.035)), (20, 20, 24), relief=0)


def draw_plant(raster: Raster, rng: Rng) -> None:
    """Draw a plant with the parts leaf and pot."""
    green = pick(((72, 128, 62), (54, 104, 74), (120, 152, 70)), rng)
    for index in range(int(rng.integers(9, 13))):
        turn = np.deg2rad(rng.uniform(-75, 75))
        length = rng.uniform(0.28, 0.5)
        tip = (0.4 + length * 0.75 * float(np.sin(turn)), 0.62 - length * float(np.cos(turn)))
        raster.paint(raster.stroke([(0.4, 0.64), tip], 0.014), scaled(green, 0.6))
        leaf = raster.ellipse(tip, (0.05, 0.12), degrees=float(np.rad2deg(turn)))
        raster.paint(
            leaf, scaled(green, rng.uniform(0.7, 1.25)), texture="speckled", relief=0.6, part=None if index else "leaf"
        )
    clay = pick(((190, 104, 70), (210, 206, 196), (88, 110, 140)), rng)
    raster.paint(raster.polygon([(0.2, 0.66), (0.6, 0.66), (0.54, 0.98), (0.26, 0.98)]), clay, relief=0.7, part="pot")
    raster.paint(
        raster.polygon([(0.17, 0.61), (0.63, 0.61), (0.63, 0.69), (0.17, 0.69)]), scaled(clay, 1.1), part="pot"
    )


def draw_leaf(raster: Raster, rng: Rng) -> None:
    """Draw a leaf of a tree."""
    colour = pick(((92, 148, 62), (190, 122, 44), (170, 60, 40), (204, 176, 62), (60, 112, 66)), rng)
    lobes = int(rng.integers(3, 6))
    angles = np.linspace(-np.pi, np.pi, 73)[:-1]
    reach = 0.3 + 0.13 * np.cos(angles * lobes) + 0.05 * np.cos(angles)
    points = [(0.5 + float(r * np.sin(a)), 0.45 - float(r * np.cos(a))) for a, r in zip(angles, reach, strict=True)]
    raster.paint(raster.stroke([(0.5, 0.5), (0.52, 0.8), (0.47, 0.97)], 0.035), scaled(colour, 0.6))
    raster.paint(raster.polygon(points), colour, texture="speckled", relief=0.5)
    for lobe in range(lobes):
        turn = 2 * np.pi * lobe / lobes
        tip = (0.5 + 0.36 * float(np.sin(turn)), 0.45 - 0.36 * float(np.cos(turn)))
        raster.paint(raster.stroke([(0.5, 0.45), tip], 0.016), scaled(colour, 1.3), relief=0)
