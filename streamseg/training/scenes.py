"""Labelled pictures of the rendered scene."""

from __future__ import annotations

import numpy as np

from streamseg.datasets.samples import LabelledObject, Sample
from streamseg.synthetic import SceneRenderer

__all__ = ["SceneSamples"]

SIZES = ((640, 480), (1280, 720), (512, 512), (480, 640), (384, 216))
"""(width, height) in pixels, as cameras have: what is enlarged to the network's input has no sharp edges."""

PICTURES_PER_SCENE = 200
FRAME_STEP = 17
"""Pictures of one scene are this many frames apart: far enough to look different."""

FIRST_SEED = 1_000_000
"""Scenes of smaller seeds are never trained on: they are what is measured and shown."""


class SceneSamples:
    """Many scenes, a different seed for every `PICTURES_PER_SCENE` pictures.

    Args:
        num_scenes: how many different scenes there are. Each is built when it is first drawn from (a third
            of a second: all its objects are painted) and kept.
    """

    def __init__(self, num_scenes: int = 48) -> None:
        self._num_scenes = num_scenes
        self._scenes: dict[int, SceneRenderer] = {}

    def __len__(self) -> int:
        return self._num_scenes * PICTURES_PER_SCENE

    def sample(self, index: int) -> Sample:
        """Picture `index`; everything in it is labelled, parts as well."""
        scene, frame = divmod(index, PICTURES_PER_SCENE)
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
