"""One Selection for each text, frame after frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from streamseg.config import TextConfig
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import Selection, TextPrompt
from streamseg.text.crops import encoder_crops
from streamseg.text.embedding_cache import CropKey, EmbeddingCache, crop_keys
from streamseg.text.encoders import Encoders, load_encoders
from streamseg.text.ranking import NONE_OF_THESE, best_texts, default_threshold, text_scores

__all__ = ["Pending", "Start", "TextSelector", "text_answers"]

Floats = npt.NDArray[np.float32]

TEXTS_PER_FRAME: Final = 8
"""Texts that are embedded in one frame of a live source; the others wait for the next ones."""


class Pending(Protocol):
    """Embeddings that are being made."""

    def done(self) -> bool:
        """Return whether `result` returns at once."""
        ...

    def result(self) -> Floats:
        """(N, D); raises what making them raised."""
        ...


Start = Callable[[Callable[[], Floats]], Pending]
"""Has something done while frames go on."""


@dataclass(frozen=True)
class _Glance:
    """Objects that are being looked at."""

    embeddings: Pending
    track_ids: list[int]
    looks: list[CropKey]
    seconds: float


@dataclass
class _Source:
    """What is remembered of one source."""

    memory: EmbeddingCache = field(default_factory=EmbeddingCache)
    wanted: dict[int, float] = field(default_factory=dict)
    """Best score of any text, by identity, of the frame before."""
    glance: _Glance | None = None


class TextSelector:
    """Answers texts, with a memory for each source. One thread at a time may call it.

    Several texts at once are labels of an open vocabulary: an object goes to the one that describes it best, or
    to none where something else describes it better, or where it scores below the threshold.

    Args:
        open_encoders: loads the encoders; called when the first text is asked for.
        threshold: lowest score of an answer, 0..1; None: the encoders' usual one.
        max_crops_per_frame: objects that are looked at in one frame; None: all, for pictures that stand alone.
        context: see `CropStyle`.
        background: see `CropStyle`.
        start: has objects looked at while frames go on: they are answered for some frames later, and only once
            they have an identity. None: each frame waits for its objects.
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
        self._start = start
        self._loaded: Encoders | None = None
        self._threshold = threshold
        self._max_crops = max_crops_per_frame
        self._context = context
        self._background = background
        self._sources: dict[str, _Source] = {}

    def prepare(self) -> Encoders:
        """Load the encoders, if they are not; from any thread, before a text is asked for.

        Raises:
            WeightsError: there are none, or they are broken; says what to do.
            ConfigError: the package `tokenizers` is not installed.
            EngineError: the device is not there.
        """
        if self._loaded is None:
            encoders = self._open()
            encoders.embed_texts(NONE_OF_THESE)
            self._loaded = encoders
        return self._loaded

    def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        """Choose among the objects of a frame; the frames of a source come in order.

        Args:
            frame: the picture.
            tracked: K objects of it; 0 answers nothing.
            prompts: P texts; two that say the same share their objects.

        Returns:
            One Selection per prompt, in the prompts' order: its rows best first, scored 0..1.

        Raises:
            WeightsError, ConfigError, EngineError: see `prepare`, which is called where it was not.
        """
        if not prompts:
            return []
        encoders = self.prepare()
        source = self._sources.setdefault(frame.source_id, _Source())
        sentences = [encoders.description.sentence(prompt.text) for prompt in prompts]
        ready = self._ready(encoders, sentences)
        rows, embeddings = self._look(encoders, frame, tracked, source)
        scores = text_scores(
            embeddings, encoders.embed_texts(ready), encoders.embed_texts(NONE_OF_THESE), encoders.description
        )
        threshold = default_threshold(encoders.description) if self._threshold is None else self._threshold
        answers = dict(zip(ready, best_texts(scores, threshold), strict=True))
        if scores.size:
            track_ids = tracked.track_ids[rows].tolist()
            source.wanted = dict(zip(track_ids, scores.max(axis=1).tolist(), strict=True))
        return [
            _selection(prompt, rows, answers.get(sentence, []))
            for prompt, sentence in zip(prompts, sentences, strict=True)
        ]

    def end_source(self, source_id: str) -> None:
        """Forget a source that has ended."""
        self._sources.pop(source_id, None)

    def _ready(self, encoders: Encoders, sentences: Sequence[str]) -> list[str]:
        """The sentences, each once, that can be compared in this frame."""
        unique = list(dict.fromkeys(sentences))
        if self._max_crops is None:
            return unique
        waiting = {*[sentence for sentence in unique if not encoders.is_text_cached(sentence)][TEXTS_PER_FRAME:]}
        return [sentence for sentence in unique if sentence not in waiting]

    def _look(self, encoders: Encoders, frame: Frame, tracked: Tracked, source: _Source) -> tuple[list[int], Floats]:
        """The rows of which something is known (N), and what: (N, D)."""
        seconds = frame.pts_seconds if frame.pts_seconds is not None else frame.received_ns / 1e9
        looks = crop_keys(tracked.instances)
        track_ids = tracked.track_ids.tolist()
        self._learn(source)
        chosen = source.memory.select_rows(tracked, looks, seconds, budget=self._max_crops, priorities=source.wanted)
        style = partial(encoder_crops, encoders, frame.image, tracked.instances)
        known: dict[int, Floats] = {}
        if self._start is None:
            seen = encoders.embed_images(style(chosen, context=self._context, background=self._background))
            for row, embedding in zip(chosen, seen, strict=True):
                if track_ids[row] < 0:
                    known[row] = embedding
                else:
                    source.memory.add(track_ids[row], embedding, looks[row], seconds)
        elif source.glance is None and (lasting := [row for row in chosen if track_ids[row] >= 0]):
            crops = style(lasting, context=self._context, background=self._background)
            source.glance = _Glance(
                self._start(partial(encoders.embed_images, crops)),
                [track_ids[row] for row in lasting],
                [looks[row] for row in lasting],
                seconds,
            )
        for row, track_id in enumerate(track_ids):
            remembered = source.memory.embedding(track_id)
            if remembered is not None:
                known[row] = remembered
        source.memory.evict(seconds)
        rows = sorted(known)
        dim = encoders.description.embedding_dim
        return rows, np.array([known[row] for row in rows], np.float32).reshape(len(rows), dim)

    @staticmethod
    def _learn(source: _Source) -> None:
        """Take in what was looked at meanwhile."""
        glance = source.glance
        if glance is None or not glance.embeddings.done():
            return
        source.glance = None
        for track_id, look, embedding in zip(glance.track_ids, glance.looks, glance.embeddings.result(), strict=True):
            source.memory.add(track_id, embedding, look, glance.seconds)


def _selection(prompt: TextPrompt, rows: Sequence[int], answers: Sequence[tuple[int, float]]) -> Selection:
    """From positions in `rows`, with scores."""
    return Selection(
        prompt.prompt_id, tuple(rows[position] for position, _ in answers), tuple(score for _, score in answers)
    )


def text_answers(
    config: TextConfig,
    *,
    every_object: bool = False,
    start: Start | None = None,
) -> TextSelector:
    """What answers texts in a pipeline; its encoders are loaded when the first text is asked for.

    Args:
        config: the section of the configuration.
        every_object: all objects of every frame are looked at, whatever it costs: for pictures that stand alone, and recordings.
        start: see `TextSelector`; for live pictures.
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
