"""Moving, static and temporarily absent objects, and the identities that a tracker assigns to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamseg.config import TrackingConfig
from streamseg.tracking import Tracker
from tests.support.shapes import Shape, detect_shapes

FPS = 30.0
At = Callable[[int], Shape | None]
"""An object: its shape in a given frame, or None if it is absent."""


def still(x: float, y: float, width: float = 60, height: float = 60, kind: str = "ellipse") -> At:
    """Return a static object."""
    return lambda frame: Shape(x, y, width, height, kind)


def moving(shape: Shape, x_px: float, y_px: float = 0.0) -> At:
    """Return an object that moves by the given number of pixels per frame."""
    return lambda frame: Shape(
        shape.x + x_px * frame, shape.y + y_px * frame, shape.width, shape.height, shape.kind, shape.score
    )


def absent(at: At, frames: range) -> At:
    """Return an object that is absent in some frames."""
    return lambda frame: None if frame in frames else at(frame)


def follow(
    objects: Sequence[At],
    num_frames: int,
    *,
    config: TrackingConfig | None = None,
    in_front: Sequence[At] = (),
) -> list[list[int | None]]:
    """Return the identity of each object in each frame, as [frame][object]; None if it was not visible."""
    tracker = Tracker(config or TrackingConfig())
    history: list[list[int | None]] = []
    for frame in range(num_frames):
        shapes = [at(frame) for at in objects]
        poles = [pole for at in in_front if (pole := at(frame)) is not None]
        seen = [index for index, shape in enumerate(shapes) if shape and len(detect_shapes([shape], in_front=poles))]
        instances = detect_shapes([shape for shape in shapes if shape], in_front=poles)
        tracked = tracker.update(instances, frame / FPS)
        ids = dict(zip(seen, tracked.track_ids.tolist(), strict=True))
        history.append([ids.get(index) for index in range(len(objects))])
    return history


def identities(history: Sequence[Sequence[int | None]], index: int) -> list[int]:
    """Return the successive identities of an object, without tentative frames."""
    found: list[int] = []
    for ids in history:
        identity = ids[index]
        if identity is not None and identity >= 0 and (not found or found[-1] != identity):
            found.append(identity)
    return found
