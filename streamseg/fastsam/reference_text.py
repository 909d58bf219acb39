"""The answers of the official FastSAM program to texts: of each the best object, however badly it fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from streamseg.geometry import silhouettes
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import Selection, TextPrompt
from streamseg.text.crops import encoder_crops
from streamseg.text.encoders import Encoders

__all__ = ["ReferenceTextSelector", "best_objects"]

SMALLEST_PX: Final = 100
"""Objects of so many pixels or fewer are not looked at, as there."""

_RASTER: Final = 24


class ReferenceTextSelector:
    """Answers texts as the official FastSAM program does, one frame at a time.

    Args:
        open_encoders: loads the encoders; called when the first text is asked for.
    """

    def __init__(self, open_encoders: Callable[[], Encoders]) -> None:
        self._open = open_encoders
        self._loaded: Encoders | None = None

    def prepare(self) -> Encoders:
        """Load the encoders, if they are not.

        Raises:
            WeightsError, ConfigError, EngineError: see `load_encoders`.
        """
        if self._loaded is None:
            self._loaded = self._open()
        return self._loaded

    def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        """One Selection per prompt: one row, or none where there is no object."""
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
        """Return itself: nothing is remembered about a source."""
        return self


def best_objects(
    encoders: Encoders, image: npt.NDArray[np.uint8], instances: Instances, texts: Sequence[str]
) -> list[tuple[int, float]]:
    """Of each text the object that it describes better than any other object.

    There is always one where there is an object of more than `SMALLEST_PX`: no "none of these", no threshold, and two
    texts may share one. As in ultralytics' later version of the program an object is seen within its own box on
    black; other than in both the box is not cut to its middle square, but shrunk to fit.

    Args:
        encoders: of pictures and words.
        image: uint8 (H, W, 3) RGB.
        instances: K objects of that picture.
        texts: T of them.

    Returns:
        T times row and score, 0..1: the share of the softmax over the objects. None at all where there is no object.
    """
    extent = instances.boxes[:, 2:] - instances.boxes[:, :2]
    areas = silhouettes(instances, _RASTER).float().mean(dim=(1, 2)) * extent.prod(dim=1)
    rows = (areas > SMALLEST_PX).nonzero()[:, 0].tolist()
    if not rows or not texts:
        return []
    crops = encoder_crops(encoders, image, instances, rows, context=0.0, background="fill", colour=(0, 0, 0))
    seen = encoders.embed_images(crops)
    words = encoders.embed_texts([encoders.description.sentence(text) for text in texts])
    logits = (words @ seen.T).astype(np.float64) * encoders.description.logit_scale
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    best = shares.argmax(axis=1)
    return [(rows[position], float(shares[text, position])) for text, position in enumerate(best.tolist())]
