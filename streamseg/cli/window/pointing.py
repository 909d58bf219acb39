"""Mouse gestures: click, background click, box."""

from __future__ import annotations

from dataclasses import dataclass

from streamseg.cli.window.screen import Pointer

__all__ = ["Box", "Click", "Drag", "Mouse", "moved_points"]

Box = tuple[float, float, float, float]

DRAG_SHARE = 1 / 100
"""Shortest side of a dragged box, as a share of the image's shorter side; a shorter movement is a click."""


@dataclass(frozen=True)
class Click:
    """A point of an image: the centre of the clicked pixel, in continuous pixels."""

    x: float
    y: float
    is_background: bool = False


@dataclass(frozen=True)
class Drag:
    """A box inside an image: xyxy, continuous pixels."""

    box: Box


class Mouse:
    """Turns the mouse events of one window into clicks and boxes."""

    def __init__(self) -> None:
        self._pressed: Pointer | None = None
        self._at: Pointer | None = None

    @property
    def is_pressed(self) -> bool:
        """True while a button is pressed."""
        return self._pressed is not None

    def box(self, size: tuple[int, int]) -> Box | None:
        """Return the box being dragged in an image of `size` (H, W); None if there is none."""
        if self._pressed is None or self._at is None or self._pressed.is_background:
            return None
        return _box(self._pressed, self._at, size)

    def handle(self, pointer: Pointer, size: tuple[int, int]) -> Click | Drag | None:
        """Return the gesture once the button is released; presses outside the image of `size` (H, W) are ignored."""
        if pointer.kind == "press":
            is_inside = 0 <= pointer.x < size[1] and 0 <= pointer.y < size[0]
            self._pressed = pointer if is_inside else None
        self._at = pointer
        if pointer.kind != "release" or self._pressed is None:
            return None
        pressed, self._pressed = self._pressed, None
        box = None if pressed.is_background else _box(pressed, pointer, size)
        return Click(pressed.x + 0.5, pressed.y + 0.5, pressed.is_background) if box is None else Drag(box)


def _box(start: Pointer, end: Pointer, size: tuple[int, int]) -> Box | None:
    """Return the box between two positions, both pixels included; None if they are too close together."""
    height, width = size
    x0, x1 = sorted((start.x, min(max(end.x, 0), width - 1)))
    y0, y1 = sorted((start.y, min(max(end.y, 0), height - 1)))
    if max(x1 - x0, y1 - y0) < max(DRAG_SHARE * min(size), 2):
        return None
    return float(x0), float(y0), float(x1 + 1), float(y1 + 1)


def moved_points(
    points: tuple[tuple[float, float], ...], before: Box | None, after: Box | None
) -> tuple[tuple[float, float], ...]:
    """Move points with their object, whose box changed from `before` to `after`; unchanged if a box is unknown."""
    if before is None or after is None:
        return points
    scale_x = (after[2] - after[0]) / max(before[2] - before[0], 1e-6)
    scale_y = (after[3] - after[1]) / max(before[3] - before[1], 1e-6)
    return tuple((after[0] + (x - before[0]) * scale_x, after[1] + (y - before[1]) * scale_y) for x, y in points)
