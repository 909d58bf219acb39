"""A mode: one complete behaviour of a run, chosen where the run is put together."""

from __future__ import annotations

from typing import Protocol

from streamseg.config import SegmentationConfig, TextConfig
from streamseg.pipeline.compose import PromptMatcher, SelectionMatcher
from streamseg.prompting.text import TextMatcher
from streamseg.segmentation import Segmenter
from streamseg.text import Start
from streamseg.tiers.words.opening import open_text_matcher

__all__ = ["Mode", "StreamsegMode"]


class Mode(Protocol):
    """Opens the stages whose behaviour differs between modes."""

    def open_segmenter(self, config: SegmentationConfig, *, embeddings: bool) -> Segmenter:
        """Open the network.

        Args:
            config: the section of the configuration.
            embeddings: compute an embedding per object, if this mode uses any.

        Raises:
            ConfigError, WeightsError, EngineError: see `Segmenter`.
        """

    def prompt_matcher(self, *, mask_scale: float = 1.0) -> PromptMatcher:
        """Return how prompts are matched and masks are made.

        Args:
            mask_scale: size of the masks relative to the source image, 0..1.

        Raises:
            ConfigError: this mode makes no masks of that size.
        """

    def text_matcher(
        self, config: TextConfig, *, every_object: bool = False, start: Start | None = None
    ) -> TextMatcher:
        """Return the matcher of texts; its model is loaded with the first text.

        Args:
            config: the section of the configuration.
            every_object: embed all objects of every frame, at any cost: for single images and recordings.
            start: embeds objects in the background, for live video; None: each frame waits.
        """


class StreamsegMode:
    """streamseg's own behaviour."""

    def open_segmenter(self, config: SegmentationConfig, *, embeddings: bool) -> Segmenter:
        """Open the network as configured."""
        return Segmenter.from_config(config, embeddings=embeddings)

    def prompt_matcher(self, *, mask_scale: float = 1.0) -> PromptMatcher:
        """Return the matcher of selections."""
        return SelectionMatcher(mask_scale)

    def text_matcher(
        self, config: TextConfig, *, every_object: bool = False, start: Start | None = None
    ) -> TextMatcher:
        """Return the selector with "none of these" and a memory per track, or the configured detector."""
        return open_text_matcher(config, every_object=every_object, start=start)
