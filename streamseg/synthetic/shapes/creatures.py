"""People and animals."""

from __future__ import annotations

from streamseg.synthetic.raster import Canvas, Colour
from streamseg.synthetic.shapes.colours import paint_colour, pick, scaled
from streamseg.synthetic.textures import Rng

__all__ = ["draw_animal", "draw_fish", "draw_person"]

SKIN: tuple[Colour, ...] = ((244, 208, 177), (224, 172, 125), (190, 130, 90), (140, 90, 60), (92, 58, 40))
HAIR: tuple[Colour, ...] = ((38, 30, 26), (84, 54, 34), (150, 104, 60), (205, 175, 120), (150, 148, 146))


def draw_person(canvas: Canvas, rng: Rng) -> None:
    """A person with head, torso and legs."""
    skin, hair = pick(SKIN, rng), pick(HAIR, rng)
    shirt, trousers, shoes = paint_colour(rng), scaled(paint_colour(rng), 0.6), scaled(paint_colour(rng), 0.4)
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
    canvas.paint(canvas.stroke([(middle, 0.14), (middle, 0.2)], 0.062), scaled(skin, 0.85), relief=0.2)
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


def draw_animal(canvas: Canvas, rng: Rng) -> None:
    """A dog or a cat from the side, with a head."""
    coat = scaled(pick(((196, 142, 84), (226, 214, 196), (88, 68, 56), (140, 136, 134), (214, 170, 110)), rng), 1.0)
    fur = str(rng.choice(["speckled", "striped", "speckled", "dotted"]))
    tail = rng.uniform(0.05, 0.4)
    canvas.paint(canvas.stroke([(0.22, 0.48), (0.1, 0.38), (0.07, tail)], 0.06), coat, texture=fur)
    for x in (0.3, 0.86):
        canvas.paint(
            canvas.stroke([(x, 0.6), (x + 0.05, 0.78), (x + 0.02, 0.95)], 0.085), scaled(coat, 0.75), texture=fur
        )
    body = [(0.18, 0.45), (0.45, 0.37), (0.85, 0.38), (1.0, 0.5), (0.92, 0.68), (0.55, 0.7), (0.25, 0.68)]
    canvas.paint(canvas.blob(body), coat, texture=fur, relief=0.8)
    for x in (0.24, 0.93):
        canvas.paint(canvas.stroke([(x, 0.6), (x - 0.03, 0.8), (x, 0.955)], 0.09), coat, texture=fur)
    canvas.paint(canvas.stroke([(0.93, 0.48), (1.04, 0.3)], 0.17), coat, texture=fur)
    for x in (1.0, 1.16):
        ear = [(x - 0.05, 0.16), (x + rng.uniform(-0.06, 0.06), 0.02), (x + 0.06, 0.17)]
        canvas.paint(canvas.polygon(ear), scaled(coat, 0.8), part="head")
    canvas.paint(canvas.ellipse((1.09, 0.24), (0.14, 0.125)), coat, texture=fur, relief=0.7, part="head")
    canvas.paint(canvas.ellipse((1.2, 0.29), (0.09, 0.065), degrees=10), scaled(coat, 1.12), part="head")
    canvas.paint(canvas.ellipse((1.275, 0.27), (0.022, 0.02)), (35, 28, 28), part="head")
    canvas.paint(canvas.ellipse((1.12, 0.21), (0.02, 0.022)), (24, 20, 20), relief=0, part="head")


def draw_fish(canvas: Canvas, rng: Rng) -> None:
    """A fish with a tail."""
    colour, fin = paint_colour(rng), paint_colour(rng)
    scales = str(rng.choice(["striped", "dotted", "checked"]))
    canvas.paint(canvas.blob([(0.5, 0.5), (0.08, 0.12), (0.2, 0.5), (0.08, 0.88)]), fin, part="tail")
    canvas.paint(canvas.blob([(0.8, 0.3), (0.9, 0.02), (1.3, 0.16), (1.3, 0.35)]), fin)
    canvas.paint(
        canvas.blob([(0.36, 0.5), (0.8, 0.18), (1.3, 0.2), (1.68, 0.5), (1.3, 0.8), (0.8, 0.82)]),
        colour,
        texture=scales,
    )
    canvas.paint(canvas.blob([(1.0, 0.52), (0.82, 0.74), (1.14, 0.66)]), scaled(fin, 0.85))
    canvas.paint(canvas.ellipse((1.42, 0.42), (0.07, 0.07)), (246, 246, 240), relief=0.2)
    canvas.paint(canvas.ellipse((1.44, 0.42), (0.035, 0.035)), (20, 20, 24), relief=0)
