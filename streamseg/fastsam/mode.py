"""FastSAM mode: a whole run with the masks, prompt matches and texts of the official FastSAM program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from streamseg.config import SegmentationConfig, TextConfig
from streamseg.errors import ConfigError
from streamseg.fastsam.reference_masks import as_reference
from streamseg.fastsam.reference_matching import ReferenceMatcher
from streamseg.fastsam.reference_text import ReferenceTextSelector
from streamseg.pipeline.compose import PromptMatcher
from streamseg.prompting.text import TextMatcher
from streamseg.segmentation import ImageInstances, Segmenter
from streamseg.structures.arrays import ImageArray
from streamseg.structures.degradation import Degradation
from streamseg.structures.nv12 import Nv12Image
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
from streamseg.text import Start, load_encoders

__all__ = ["FastSAMMode", "ReferenceSegmenter"]


class ReferenceSegmenter(Segmenter):
    """A segmenter with the official program's boxes; search regions are ignored."""

    def offers(self, degradation: Degradation) -> bool:
        """Return False: other masks than those of the official program are no results of this mode."""
        return False

    def segment_batch(
        self,
        images: Sequence[ImageArray | Nv12Image],
        regions: Sequence[SearchRegions],
        degradations: Sequence[Degradation] | None = None,
    ) -> list[ImageInstances]:
        """Segment images without regions and at full quality, and apply the rule for objects that fill the image."""
        return [as_reference(instances) for instances in super().segment_batch(images, [NO_REGIONS] * len(images))]

    def begin_batch(
        self,
        images: Sequence[ImageArray | Nv12Image],
        regions: Sequence[SearchRegions],
        degradations: Sequence[Degradation] | None = None,
    ) -> list[Callable[[], ImageInstances]]:
        """Begin to segment images as `segment_batch` does."""
        begun = super().begin_batch(images, [NO_REGIONS] * len(images))
        return [partial(_as_reference, finish) for finish in begun]


def _as_reference(finish: Callable[[], ImageInstances]) -> ImageInstances:
    return as_reference(finish())


@dataclass(frozen=True)
class FastSAMMode:
    """The behaviour of the official program; implements `pipeline.mode.Mode`."""

    retina_masks: bool = True
    """False: masks at the size of the network's input, padding included."""

    def open_segmenter(self, config: SegmentationConfig, *, embeddings: bool) -> ReferenceSegmenter:
        """Open the network with plain masks and raw scores; embeddings are not used."""
        return ReferenceSegmenter.from_config(config.model_copy(update={"masks": "plain", "scores": "raw"}))

    def prompt_matcher(self, *, mask_scale: float = 1.0) -> PromptMatcher:
        """Return the official program's matcher.

        Raises:
            ConfigError: `mask_scale` is not 1.
        """
        if mask_scale != 1:
            raise ConfigError(
                f"FastSAM mode makes masks at the size of the image; set publish.mask_scale to 1.0, got {mask_scale:g}"
            )
        return ReferenceMatcher(self.retina_masks)

    def text_matcher(
        self, config: TextConfig, *, every_object: bool = False, start: Start | None = None
    ) -> TextMatcher:
        """Return the official program's text matcher, which embeds all objects of every frame.

        Raises:
            ConfigError: a detector is configured, which that program does not have.
        """
        if config.model != "clip":
            raise ConfigError(f"FastSAM mode compares texts by CLIP; set text.model to clip, got {config.model!r}")
        return ReferenceTextSelector(lambda: load_encoders(config.encoders, device=config.device))
