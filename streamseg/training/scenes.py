"""Labelled images of the rendered scene."""

from __future__ import annotations

import numpy as np

from streamseg.datasets.samples import LabelledObject, Sample
from streamseg.synthetic import SceneRenderer

__all__ = ["SceneSamples"]

SIZES = ((640, 480), (1280, 720), (512, 512), (480, 640), (384, 216))
"""(width, height) in pixels, as delivered by cameras: images enlarged to the network's input have no sharp edges."""

IMAGES_PER_SCENE = 200
FRAME_STEP = 17
"""Frames between two images of one scene: far enough apart to look different."""

FIRST_SEED = 1_000_000
"""First seed used in training. Smaller seeds are reserved for evaluation and demos."""


class SceneSamples:
    """Labelled images of many scenes, with a different seed for every `IMAGES_PER_SCENE` images.

    Args:
        num_scenes: number of different scenes. Each is built on first use and cached; building one takes a third of a
            second, because all its objects are painted.
    """

    def __init__(self, num_scenes: int = 48) -> None:
        self._num_scenes = num_scenes
        self._scenes: dict[int, SceneRenderer] = {}

    def __len__(self) -> int:
        return self._num_scenes * IMAGES_PER_SCENE

    def sample(self, index: int) -> Sample:
        """Return labelled image `index`; all objects and parts are labelled."""
        scene, frame = divmod(index, IMAGES_PER_SCENE)
        renderer = self._renderer(scene)
        truth = renderer.truth(frame * FRAME_STEP)
        objects = tuple(
            LabelledObject(mask, is_part=bool(is_part))
            for mask, is_part in zip(truth.masks, truth.is_part, strict=True)
        )
        return Sample(renderer.render(frame * FRAME_STEP), objects)

    def _renderer(self, scene: int) -> SceneRenderer:
        if scene not in self._scenes:
            rng = np.random.default_rng((FIRST_SEED, scene))
            width, height = SIZES[int(rng.integers(len(SIZES)))]
            self._scenes[scene] = SceneRenderer(
                width, height, num_objects=int(rng.integers(3, 13)), seed=FIRST_SEED + scene
            )
        return self._scenes[scene]
