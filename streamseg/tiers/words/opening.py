"""The text matcher of a configuration: encoders of CLIP's family, or an open-vocabulary detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamseg.config import TextConfig
from streamseg.paths import cache_folder
from streamseg.prompting.text import TextMatcher
from streamseg.text import Start, load_encoders, open_text_selector
from streamseg.tiers.catalogue import find_model_path
from streamseg.tiers.words.matcher import DetectorMatcher

if TYPE_CHECKING:
    from streamseg.tiers.words.detector import Detector
    from streamseg.tiers.words.yolo_world import EmbedTexts

__all__ = ["ENCODERS", "open_text_matcher"]

ENCODERS: Final = ("clip", "siglip2")
"""Models that compare embeddings of objects and texts, instead of detecting; all others are detectors."""


def open_text_matcher(config: TextConfig, *, every_object: bool = False, start: Start | None = None) -> TextMatcher:
    """Return the text matcher of a run; its model is loaded with the first text.

    Args:
        config: the section of the configuration.
        every_object: for single images and recordings: embed all objects, and detect in every frame, at any cost.
        start: computes in the background, for live video; None: each frame waits.
    """
    if config.model in ENCODERS:
        if config.model == "siglip2" and config.encoders == "default":
            config = config.model_copy(update={"encoders": str(cache_folder() / "text" / "siglip2")})
        return open_text_selector(config, every_object=every_object, start=start)
    return DetectorMatcher(
        lambda: _open_detector(config),
        name=config.model,
        every=1 if every_object else config.every,
        threshold=config.threshold,
        start=start,
    )


def _open_detector(config: TextConfig) -> Detector:
    # Loaded here, because most runs have no detector.
    from streamseg.tiers.words.loading import load_detector

    def embed() -> EmbedTexts:
        return load_encoders(config.encoders, device=config.device).embed_texts

    return load_detector(find_model_path(config.model, "words", "text.model"), device=config.device, embed=embed)
