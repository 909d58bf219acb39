"""The shapes of the rendered scene by name, with their sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamseg.synthetic.raster import Raster, Sprite
from streamseg.synthetic.shapes.living import draw_animal, draw_fish, draw_leaf, draw_person, draw_plant
from streamseg.synthetic.shapes.objects import (
    draw_ball,
    draw_bottle,
    draw_car,
    draw_chair,
    draw_crate,
    draw_gear,
    draw_house,
    draw_lamp,
    draw_mug,
    draw_ring,
)
from streamseg.synthetic.textures import Rng

__all__ = ["SHAPES", "Shape", "draw_shape"]


@dataclass(frozen=True)
class Shape:
    """A kind of object in the scene."""

    draw: Callable[[Raster, Rng], None]
    aspect: float
    """Aspect ratio of the raster: width over height."""
    height: float
    """Maximum height relative to the short side of the image."""
    grounded: bool
    """Whether it stands on the floor: it stays upright, moves sideways, and is larger when nearer."""


def draw_shape(shape: Shape, height_px: int, rng: Rng) -> Sprite:
    """Draw one object of a shape, `height_px` tall, with random colours and proportions."""
    raster = Raster(height_px, shape.aspect, rng)
    shape.draw(raster, rng)
    return raster.finish(shadow=shape.grounded)


SHAPES: dict[str, Shape] = {
    "person": Shape(draw_person, aspect=0.5, height=0.65, grounded=True),
    "car": Shape(draw_car, aspect=2.2, height=0.28, grounded=True),
    "ball": Shape(draw_ball, aspect=1.0, height=0.2, grounded=False),
    "animal": Shape(draw_animal, aspect=1.32, height=0.33, grounded=True),
    "mug": Shape(draw_mug, aspect=1.05, height=0.23, grounded=False),
    "leaf": Shape(draw_leaf, aspect=1.0, height=0.24, grounded=False),
    "plant": Shape(draw_plant, aspect=0.8, height=0.42, grounded=True),
    "ring": Shape(draw_ring, aspect=1.0, height=0.22, grounded=False),
    "chair": Shape(draw_chair, aspect=0.76, height=0.4, grounded=True),
    "bottle": Shape(draw_bottle, aspect=0.36, height=0.34, grounded=False),
    "fish": Shape(draw_fish, aspect=1.76, height=0.2, grounded=False),
    "crate": Shape(draw_crate, aspect=1.2, height=0.28, grounded=True),
    "lamp": Shape(draw_lamp, aspect=0.5, height=0.46, grounded=True),
    "gear": Shape(draw_gear, aspect=1.0, height=0.22, grounded=False),
    "house": Shape(draw_house, aspect=0.8, height=0.37, grounded=True),
}
"""Shapes by name. About one third has no parts; several have holes."""
