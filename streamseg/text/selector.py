"""Select the objects that match each text, frame after frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, Protocol, TypeVar

import numpy as np

from streamseg.config import TextConfig
from streamseg.structures.arrays import Float32Array
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import Selection, TextPrompt
from streamseg.text.crops import encoder_crops
from streamseg.text.embedding_cache import CropKey, EmbeddingCache, crop_keys
from streamseg.text.encoders import Encoders, load_encoders
from streamseg.text.ranking import NONE_OF_THESE, best_texts, default_threshold, text_scores

__all__ = ["Pending", "SourceTextSelector", "Start", "TextSelector", "open_text_selector"]

TEXTS_PER_FRAME: Final = 8
"""Texts that are embedded in one frame of a live source; further ones wait for the next frames."""


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Pending(Protocol[T_co]):
    """A result that is being computed."""

    def done(self) -> bool:
        """Return whether `result` returns at once."""
        ...

    def result(self) -> T_co:
        """Return the result; raises the exception of the computation."""
        ...


class Start(Protocol):
    """Starts a computation in the background."""

    def __call__(self, work: Callable[[], T], /) -> Pending[T]:
        """Return the result to come."""
        ...


@dataclass(frozen=True)
class _Request:
    """Objects whose embeddings are being computed in the background."""

    embeddings: Pending[Float32Array]
    track_ids: list[int]
    keys: list[CropKey]
    seconds: float


class TextSelector:
    """Text matcher with encoders of CLIP's family; shared by all sources.

    Several texts at once are labels of an open vocabulary: each object goes to the text that describes it best, or to
    none if "none of these" describes it better or its score is below the threshold.

    Args:
        open_encoders: loads the encoders; called with the first text.
        threshold: lowest score of a match, 0..1; None: the encoders' default.
        max_crops_per_frame: objects that are embedded in one frame; None: all, for single images.
        context: see `CropStyle`.
        background: see `CropStyle`.
        start: computes embeddings in the background: objects match some frames later, and only once they have a track
            id. None: each frame waits for its objects.
    """

    def __init__(
        self,
        open_encoders: Callable[[], Encoders],
        *,
        threshold: float | None = None,
        max_crops_per_frame: int | None = None,
        context: float = 0.2,
        background: Literal["dim", "blur", "fill"] = "blur",
        start: Start | None = None,
    ) -> None:
        self._open = open_encoders
        self._loaded: Encoders | None = None
        self.threshold = threshold
        self.max_crops = max_crops_per_frame
        self.context = context
        self.background = background
        self.start = start

    def prepare(self) -> Encoders:
        """Load the encoders if they are not loaded yet; thread-safe.

        Raises:
            WeightsError: the encoders are missing or broken; says what to do.
            ConfigError: the package `tokenizers` is not installed.
            EngineError: the device is not available.
        """
        if self._loaded is None:
            encoders = self._open()
            encoders.embed_texts(NONE_OF_THESE)
            self._loaded = encoders
        return self._loaded

    def open_source(self) -> SourceTextSelector:
        """Return the selector of one source."""
        return SourceTextSelector(self)


class SourceTextSelector:
    """Selects the objects of one source that match texts; remembers embeddings by track id. Not thread-safe.

    Args:
        shared: the encoders and settings.
    """

    def __init__(self, shared: TextSelector) -> None:
        self._shared = shared
        self._cache = EmbeddingCache()
        self._priorities: dict[int, float] = {}
        """Best score of any text in the last frame, by track id."""
        self._request: _Request | None = None

    def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        """Select among the objects of a frame; frames come in order.

        Args:
            frame: the frame.
            tracked: its K objects; 0 match nothing.
            prompts: P texts; equal texts share their objects.

        Returns:
            One Selection per prompt, in the prompts' order: its rows best first, scored 0..1.

        Raises:
            WeightsError, ConfigError, EngineError: see `TextSelector.prepare`, which is called if it was not.
        """
        if not prompts:
            return []
        encoders = self._shared.prepare()
        sentences = [encoders.description.sentence(prompt.text) for prompt in prompts]
        ready = self._ready(encoders, sentences)
        rows, embeddings = self._embed(encoders, frame, tracked)
        scores = text_scores(
            embeddings, encoders.embed_texts(ready), encoders.embed_texts(NONE_OF_THESE), encoders.description
        )
        threshold = self._shared.threshold
        if threshold is None:
            threshold = default_threshold(encoders.description)
        matches = dict(zip(ready, best_texts(scores, threshold), strict=True))
        if scores.size:
            track_ids = tracked.track_ids[rows].tolist()
            self._priorities = dict(zip(track_ids, scores.max(axis=1).tolist(), strict=True))
        return [
            _selection(prompt, rows, matches.get(sentence, []))
            for prompt, sentence in zip(prompts, sentences, strict=True)
        ]

    def _ready(self, encoders: Encoders, sentences: Sequence[str]) -> list[str]:
        """Return the sentences that can be compared in this frame, each once."""
        unique = list(dict.fromkeys(sentences))
        if self._shared.max_crops is None:
            return unique
        waiting = {*[sentence for sentence in unique if not encoders.is_text_cached(sentence)][TEXTS_PER_FRAME:]}
        return [sentence for sentence in unique if sentence not in waiting]

    def _embed(self, encoders: Encoders, frame: Frame, tracked: Tracked) -> tuple[list[int], Float32Array]:
        """Return the rows (N) whose embeddings are known, and these: (N, D)."""
        shared, cache = self._shared, self._cache
        seconds = frame.pts_seconds if frame.pts_seconds is not None else frame.received_ns / 1e9
        keys = crop_keys(tracked.instances)
        track_ids = tracked.track_ids.tolist()
        self._collect()
        chosen = cache.select_rows(tracked, keys, seconds, budget=shared.max_crops, priorities=self._priorities)
        crops_of = partial(
            encoder_crops,
            encoders,
            frame.image,
            tracked.instances,
            context=shared.context,
            background=shared.background,
        )
        known: dict[int, Float32Array] = {}
        if shared.start is None:
            for row, embedding in zip(chosen, encoders.embed_images(crops_of(chosen)), strict=True):
                if track_ids[row] < 0:
                    known[row] = embedding
                else:
                    cache.add(track_ids[row], embedding, keys[row], seconds)
        elif self._request is None and (confirmed := [row for row in chosen if track_ids[row] >= 0]):
            self._request = _Request(
                shared.start(partial(encoders.embed_images, crops_of(confirmed))),
                [track_ids[row] for row in confirmed],
                [keys[row] for row in confirmed],
                seconds,
            )
        for row, track_id in enumerate(track_ids):
            cached = cache.embedding(track_id)
            if cached is not None:
                known[row] = cached
        cache.evict(seconds)
        rows = sorted(known)
        dim = encoders.description.embedding_dim
        return rows, np.array([known[row] for row in rows], np.float32).reshape(len(rows), dim)

    def _collect(self) -> None:
        """Store the embeddings of a finished request."""
        request = self._request
        if request is None or not request.embeddings.done():
            return
        self._request = None
        for track_id, key, embedding in zip(request.track_ids, request.keys, request.embeddings.result(), strict=True):
            self._cache.add(track_id, embedding, key, request.seconds)


def _selection(prompt: TextPrompt, rows: Sequence[int], matches: Sequence[tuple[int, float]]) -> Selection:
    """Return the selection of matches, whose positions count within `rows`."""
    return Selection(
        prompt.prompt_id, tuple(rows[position] for position, _ in matches), tuple(score for _, score in matches)
    )


def open_text_selector(config: TextConfig, *, every_object: bool = False, start: Start | None = None) -> TextSelector:
    """Return the text selector of a run; its encoders are loaded with the first text.

    Args:
        config: the section of the configuration.
        every_object: embed all objects of every frame, at any cost: for single images and recordings.
        start: see `TextSelector`; for live video.
    """

    def open_encoders() -> Encoders:
        return load_encoders(config.encoders, device=config.device)

    return TextSelector(
        open_encoders,
        threshold=config.threshold,
        max_crops_per_frame=None if every_object else config.max_crops_per_frame,
        context=config.context,
        background=config.background,
        start=start,
    )
