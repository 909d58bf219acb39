"""The text matcher of a run with an open-vocabulary detector."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamseg.prompting.text import SourceTextMatcher
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import Selection, TextPrompt
from streamseg.text import Pending, Start
from streamseg.tiers.contract import TierReport
from streamseg.tiers.guard import TierGuard
from streamseg.tiers.words.detector import Detections, Detector
from streamseg.tiers.words.join import Joined, join
from streamseg.tiers.words.labels import TrackLabels, best_text

__all__ = ["DetectorMatcher", "SourceDetectorMatcher"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Request:
    """A detection in one frame."""

    tracked: Tracked
    texts: tuple[str, ...]
    detections: Pending[Detections]


class DetectorMatcher:
    """Text matcher with an open-vocabulary detector; shared by all sources.

    Several texts at once are labels: each object goes to the text with the best score.

    Args:
        open_detector: loads the detector; called with the first text.
        name: its name, as configured.
        every: the detector is used in every n-th frame of a source; in between, tracks carry their labels.
        threshold: minimum score of a detection, 0..1; None: the detector's default.
        start: detects in the background: objects match some frames later, and only once they have a track id. None:
            each n-th frame waits.
    """

    def __init__(
        self,
        open_detector: Callable[[], Detector],
        *,
        name: str,
        every: int = 1,
        threshold: float | None = None,
        start: Start | None = None,
    ) -> None:
        self._open = open_detector
        self._loaded: Detector | None = None
        self.every = every
        self._threshold = threshold
        self.start = start
        self.guard = TierGuard("words", name)
        self._reported: set[str] = set()

    def prepare(self) -> Detector:
        """Load the detector if it is not loaded yet; thread-safe.

        Raises:
            WeightsError, ConfigError, EngineError: it cannot be loaded; says what to do.
        """
        if self._loaded is None:
            self._loaded = self._open()
        return self._loaded

    @property
    def threshold(self) -> float:
        """Minimum score of a detection, 0..1."""
        return self._threshold if self._threshold is not None else self.prepare().default_threshold

    def open_source(self) -> SourceTextMatcher:
        """Return a matcher for one source, without any memory of objects."""
        return SourceDetectorMatcher(self)

    def report(self) -> TierReport:
        """Return what the tier has done so far; thread-safe."""
        return self.guard.report()

    def warn_of_unknown(self, texts: Sequence[str]) -> None:
        """Log once that some texts cannot be detected."""
        reason = self.prepare().unknown(texts)
        if reason is not None and reason not in self._reported:
            self._reported.add(reason)
            logger.warning("%s", reason)


class SourceDetectorMatcher:
    """Matches the objects of one source with texts; remembers labels by track id. Not thread-safe.

    Args:
        shared: the detector and settings.
    """

    def __init__(self, shared: DetectorMatcher) -> None:
        self._shared = shared
        self._labels = TrackLabels()
        self._request: _Request | None = None
        self._texts: tuple[str, ...] = ()
        self._waited = 0
        """Frames since the latest detection began."""

    def __call__(self, frame: Frame, tracked: Tracked, prompts: Sequence[TextPrompt]) -> list[Selection]:
        """Select among the objects of a frame; frames come in order.

        Args:
            frame: the frame.
            tracked: its K objects; 0 match nothing.
            prompts: P texts; equal texts share their objects.

        Returns:
            One Selection per prompt, in the prompts' order: its rows best first, scored 0..1. If the detector has
            failed, none matches.
        """
        texts = tuple(dict.fromkeys(prompt.text for prompt in prompts))
        if not texts or not self._shared.guard.is_working:
            return [Selection(prompt.prompt_id, (), ()) for prompt in prompts]
        now = self._shared.guard.call(lambda: self._update(frame, tracked, texts)) or []
        matches = self._matches(tracked, texts, now) if self._shared.guard.is_working else {}
        return [
            Selection(
                prompt.prompt_id,
                tuple(row for row, _ in matches.get(prompt.text, ())),
                tuple(score for _, score in matches.get(prompt.text, ())),
            )
            for prompt in prompts
        ]

    def _update(self, frame: Frame, tracked: Tracked, texts: tuple[str, ...]) -> list[Joined]:
        """Take finished detections and begin new ones; return what was found in this very frame."""
        shared = self._shared
        if self._request is not None and self._request.detections.done():
            request, self._request = self._request, None
            self._take(request.tracked, request.texts, request.detections.result())
        self._waited += 1
        is_due = self._waited >= shared.every or any(text not in self._texts for text in texts)
        if not is_due or self._request is not None:
            return []
        self._waited, self._texts = 0, texts
        detector, threshold = shared.prepare(), shared.threshold
        shared.warn_of_unknown(texts)
        shared.guard.count("detections")
        if shared.start is None:
            return self._take(tracked, texts, detector.detect(frame.image, texts, threshold))
        pending = shared.start(lambda: detector.detect(frame.image, texts, threshold))
        self._request = _Request(tracked, texts, pending)
        return []

    def _take(self, tracked: Tracked, texts: Sequence[str], detections: Detections) -> list[Joined]:
        """Add the result of a detection to the labels of the tracks in its frame; return what was joined."""
        joined = join(tracked.instances, detections)
        row_ids = tracked.track_ids.tolist()
        self._labels.update(row_ids, texts, joined, row_ids)
        self._shared.guard.count("labelled", len({one.row for one in joined}))
        self._shared.guard.count("unmatched", len(detections) - len(joined))
        return joined

    def _matches(
        self, tracked: Tracked, texts: tuple[str, ...], now: Sequence[Joined]
    ) -> dict[str, list[tuple[int, float]]]:
        """Return the objects (row, score) of each text, best first."""
        threshold = self._shared.threshold
        fresh: dict[int, dict[str, float]] = {}
        for one in now:
            fresh.setdefault(one.row, {})[texts[one.text]] = one.score
        matches: dict[str, list[tuple[int, float]]] = {}
        for row, track_id in enumerate(tracked.track_ids.tolist()):
            if track_id >= 0:
                best = self._labels.best(track_id, texts, threshold)
            else:
                # Without a track id there is nothing to remember it by.
                best = best_text(fresh.get(row, {}), texts, threshold)
            if best is not None:
                matches.setdefault(best[0], []).append((row, best[1]))
        return {text: sorted(rows, key=lambda one: -one[1]) for text, rows in matches.items()}
