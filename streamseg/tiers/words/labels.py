"""The labels of tracks: what a detector found is carried by track identity until it is used again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from streamseg.tiers.words.join import Joined

__all__ = ["TrackLabels"]

WEIGHT: Final = 0.5
"""Weight of the newest detection in the score of a track."""
KEPT_SHARE: Final = 0.5
"""Share of the threshold that a labelled track must keep: a weak detection survives one miss, a certain one several."""
MAX_TRACKS: Final = 4096
"""Maximum number of tracks with scores; the one seen longest ago is forgotten first."""


class TrackLabels:
    """Scores of texts by track. A text is a track's label if its score is the best and reaches the threshold."""

    def __init__(self) -> None:
        self._scores: OrderedDict[int, dict[str, float]] = OrderedDict()

    def update(
        self, visible: Iterable[int], texts: Sequence[str], joined: Sequence[Joined], row_ids: Sequence[int]
    ) -> None:
        """Take the result of one detection.

        Args:
            visible: track ids in the frame of the detection; those below 0 are ignored.
            texts: the texts that were searched for.
            joined: what was found, by row of the frame.
            row_ids: track id of each row of the frame.
        """
        found: dict[tuple[int, str], float] = {}
        for one in joined:
            key = (row_ids[one.row], texts[one.text])
            found[key] = max(found.get(key, 0.0), one.score)
        for track_id in {one for one in visible if one >= 0}:
            scores = self._scores.setdefault(track_id, {})
            self._scores.move_to_end(track_id)
            for text in texts:
                new = found.get((track_id, text), 0.0)
                old = scores.get(text)
                if old is not None:
                    new = (1 - WEIGHT) * old + WEIGHT * new
                if new > 0:
                    scores[text] = new
        while len(self._scores) > MAX_TRACKS:
            self._scores.popitem(last=False)

    def best(self, track_id: int, texts: Iterable[str], threshold: float) -> tuple[str, float] | None:
        """Return the label of a track among some texts and its score, 0..1; None if it has none."""
        scores = self._scores.get(track_id)
        return None if scores is None else best_text(scores, texts, KEPT_SHARE * threshold)


def best_text(scores: Mapping[str, float], texts: Iterable[str], minimum: float) -> tuple[str, float] | None:
    """Return the text with the best score, and the score; None if none reaches the minimum."""
    known = [(scores[text], text) for text in texts if text in scores]
    score, text = max(known, default=(0.0, ""))
    return (text, score) if known and score >= minimum else None
