"""All kinds of objects of the rendered scene, and how large each may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamseg.synthetic.raster import Canvas, Sprite
from streamseg.synthetic.shapes.creatures import draw_animal, draw_fish, draw_person
from streamseg.synthetic.shapes.furniture import draw_chair, draw_crate, draw_house, draw_lamp
from streamseg.synthetic.shapes.plants import draw_leaf, draw_plant
from streamseg.synthetic.shapes.things import draw_ball, draw_bottle, draw_gear, draw_mug, draw_ring
from streamseg.synthetic.shapes.vehicles import draw_car
from streamseg.synthetic.textures import Rng

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


FIGURES: dict[str, Figure] = {
    "person": Figure(draw_person, aspect=0.5, height=0.65, grounded=True),
    "car": Figure(draw_car, aspect=2.2, height=0.28, grounded=True),
    "ball": Figure(draw_ball, aspect=1.0, height=0.2, grounded=False),
    "animal": Figure(draw_animal, aspect=1.32, height=0.33, grounded=True),
    "mug": Figure(draw_mug, aspect=1.05, height=0.23, grounded=False),
    "leaf": Figure(draw_leaf, aspect=1.0, height=0.24, grounded=False),
    "plant": Figure(draw_plant, aspect=0.8, height=0.42, grounded=True),
    "ring": Figure(draw_ring, aspect=1.0, height=0.22, grounded=False),
    "chair": Figure(draw_chair, aspect=0.76, height=0.4, grounded=True),
    "bottle": Figure(draw_bottle, aspect=0.36, height=0.34, grounded=False),
    "fish": Figure(draw_fish, aspect=1.76, height=0.2, grounded=False),
    "crate": Figure(draw_crate, aspect=1.2, height=0.28, grounded=True),
    "lamp": Figure(draw_lamp, aspect=0.5, height=0.46, grounded=True),
    "gear": Figure(draw_gear, aspect=1.0, height=0.22, grounded=False),
    "house": Figure(draw_house, aspect=0.8, height=0.37, grounded=True),
}
"""By name. Every third one or so has no parts; several have holes."""
