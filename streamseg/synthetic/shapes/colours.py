"""Random colours of shapes."""

from __future__ import annotations

import numpy as np

from streamseg.synthetic.raster import Colour
from streamseg.synthetic.textures import Rng

__all__ = ["paint_colour", "pick", "scaled"]


def paint_colour(rng: Rng) -> Colour:
    """Return a random colour of any hue, from pale to saturated, neither black nor white."""
    hue, strength, value = rng.uniform(0, 6), rng.uniform(0.15, 0.85), rng.uniform(110, 235)
    wheel = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    red, green, blue = value * (1 - strength + strength * wheel)
    return float(red), float(green), float(blue)


def scaled(colour: Colour, factor: float) -> Colour:
    """Return a darker or lighter colour."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def pick(choices: tuple[Colour, ...], rng: Rng) -> Colour:
    """Return one of the choices, with equal probability."""
    return choices[int(rng.integers(len(choices)))]
