"""The colours that figures are drawn with."""

from __future__ import annotations

import numpy as np

from streamseg.synthetic.raster import Colour
from streamseg.synthetic.textures import Rng

__all__ = ["paint_colour", "pick", "scaled"]


def paint_colour(rng: Rng) -> Colour:
    """Any hue, from pale to strong, neither black nor white."""
    hue, strength, value = rng.uniform(0, 6), rng.uniform(0.15, 0.85), rng.uniform(110, 235)
    wheel = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    red, green, blue = value * (1 - strength + strength * wheel)
    return float(red), float(green), float(blue)


def scaled(colour: Colour, factor: float) -> Colour:
    """A darker or a lighter one."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def pick(choices: tuple[Colour, ...], rng: Rng) -> Colour:
    """One of them, each as likely as the others."""
    return choices[int(rng.integers(len(choices)))]
