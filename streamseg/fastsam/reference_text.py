"""FastSAM's selection by texts: the best object for each text, however poor the match."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from streamseg.geometry import silhouettes
from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import Selection, TextPrompt
from streamseg.text.crops import encoder_crops
from streamseg.text.encoders import Encoders

__all__ = ["ReferenceTextSelector", "best_objects"]

MIN_AREA_PX: Final = 100
"""Objects of this area or smaller are skipped, as in the official program."""

_RASTER: Final = 24


class ReferenceTextSelector:
    """Matches texts as the official FastSAM program does, one frame at a time.

    Args:
        open_encoders: loads the encoders; called for the first text.
    """

    def __init__(self, open_encoders: Callable[[], Encoders]) -> None:
        self._open = open_encoders
        self._loaded: Encoders | None = None

    def prepare(self) -> Encoders:
        """Load the encoders if they are not loaded, and return them.

        Raises:
            WeightsError, ConfigError, EngineError: see `load_encoders`.
        """
        if self._loaded is None:
            self._loaded = self._open()
        return self._loaded

    def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        """Return one Selection per prompt: one row, or no row if there is no object."""
        if not prompts:
            return []
        texts = [prompt.text for prompt in prompts]
        found = best_objects(self.prepare(), frame.image, tracked.instances, texts)
        if not found:
            return [Selection(prompt.prompt_id, (), ()) for prompt in prompts]
        return [
            Selection(prompt.prompt_id, (row,), (score,)) for prompt, (row, score) in zip(prompts, found, strict=True)
        ]

    def open_source(self) -> ReferenceTextSelector:
        """Return this selector, which has no state per source."""
        return self


def best_objects(
    encoders: Encoders, image: ImageArray, instances: Instances, texts: Sequence[str]
) -> list[tuple[int, float]]:
    """Return for each text the object that it describes best.

    Every text has a match if there is an object of more than `MIN_AREA_PX`: there is no "none of these" and no
    threshold, and two texts may match the same object. As in ultralytics' later version of the program, the encoder
    gets the object's box with a black background. Unlike in both versions, the crop is letterboxed instead of
    centre-cropped.

    Args:
        encoders: image and text encoders.
        image: uint8 (H, W, 3) RGB.
        instances: K objects of that image.
        texts: T descriptions.

    Returns:
        Row and score of T objects. The score, 0..1, is the share of the softmax over the objects. Empty if there is no
        object.
    """
    extent = instances.boxes[:, 2:] - instances.boxes[:, :2]
    areas = silhouettes(instances, _RASTER).float().mean(dim=(1, 2)) * extent.prod(dim=1)
    rows = (areas > MIN_AREA_PX).nonzero()[:, 0].tolist()
    if not rows or not texts:
        return []
    crops = encoder_crops(encoders, image, instances, rows, context=0.0, background="fill", colour=(0, 0, 0))
    image_embeddings = encoders.embed_images(crops)
    text_embeddings = encoders.embed_texts([encoders.description.sentence(text) for text in texts])
    logits = (text_embeddings @ image_embeddings.T).astype(np.float64) * encoders.description.logit_scale
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    best = shares.argmax(axis=1)
    return [(rows[position], float(shares[text, position])) for text, position in enumerate(best.tolist())]
