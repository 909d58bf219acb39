"""Rendered scenes for the tracking benchmarks."""

from __future__ import annotations

from functools import cache

from streamseg.synthetic import SceneRenderer, SceneTruth

__all__ = ["SIZE", "scene", "scene_renderer"]

SIZE = (720, 1280)
SECONDS = 20.0
NUM_OBJECTS = 12


def scene_renderer(seed: int, fps: float) -> SceneRenderer:
    """Return a renderer of a scene of `SIZE`."""
    return SceneRenderer(SIZE[1], SIZE[0], num_objects=NUM_OBJECTS, seed=seed, fps=fps)


@cache
def scene(seed: int, fps: float) -> tuple[SceneTruth, ...]:
    """Return the ground truth of `SECONDS` of a scene."""
    renderer = scene_renderer(seed, fps)
    return tuple(renderer.truth(index) for index in range(int(SECONDS * fps)))
