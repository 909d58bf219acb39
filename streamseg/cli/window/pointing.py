"""What a person means by the mouse: a click, a click on the background, a box."""

from __future__ import annotations

from dataclasses import dataclass

from streamseg.cli.window.screen import Pointer

__all__ = ["Box", "Click", "Drag", "Mouse", "moved_points"]

Box = tuple[float, float, float, float]

DRAG_SHARE = 1 / 100
"""Of the shorter side of a picture: who moves less between press and release meant a click."""


@dataclass(frozen=True)
class Click:
    """A point of a picture."""

    x: float
    """Continuous pixels of the picture: the middle of the pixel that was hit."""
    y: float
    is_background: bool = False


@dataclass(frozen=True)
class Drag:
    """A box in a picture: xyxy, continuous pixels, inside the picture."""

    box: Box


class Mouse:
    """Makes clicks and boxes from what the mouse does in one window."""

    def __init__(self) -> None:
        self._pressed: Pointer | None = None
        self._at: Pointer | None = None

    @property
    def is_pressed(self) -> bool:
        """Whether a click or a box is under way."""
        return self._pressed is not None

    def box(self, size: tuple[int, int]) -> Box | None:
        """The box under way in a picture of `size` (H, W), to be drawn; None where there is none."""
        if self._pressed is None or self._at is None or self._pressed.is_background:
            return None
        return _box(self._pressed, self._at, size)

    def take(self, pointer: Pointer, size: tuple[int, int]) -> Click | Drag | None:
        """What is meant, once the button is up; a press outside the picture of `size` (H, W) means nothing."""
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
    """The pixels from one place to the other; None where they are too close together."""
    height, width = size
    x0, x1 = sorted((start.x, min(max(end.x, 0), width - 1)))
    y0, y1 = sorted((start.y, min(max(end.y, 0), height - 1)))
    if max(x1 - x0, y1 - y0) < max(DRAG_SHARE * min(size), 2):
        return None
    return float(x0), float(y0), float(x1 + 1), float(y1 + 1)


def moved_points(
    points: tuple[tuple[float, float], ...], then: Box | None, now: Box | None
) -> tuple[tuple[float, float], ...]:
    """Where points on an object are, when its box has changed from `then` to `now`; unmoved where one is unknown."""
    if then is None or now is None:
        return points
    scale_x = (now[2] - now[0]) / max(then[2] - then[0], 1e-6)
    scale_y = (now[3] - now[1]) / max(then[3] - then[1], 1e-6)
    return tuple((now[0] + (x - then[0]) * scale_x, now[1] + (y - then[1]) * scale_y) for x, y in points)
