"""`FastSAMPredictor`: find everything once, ask often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streamseg.fastsam.model import FastSAM
from streamseg.fastsam.results import Prompting, Results
from streamseg.fastsam.selection import Numbers, prompted
from streamseg.fastsam.sources import SourceLike

__all__ = ["FastSAMPredictor"]


class FastSAMPredictor:
    """A model with its options, which are the same for every picture."""

    def __init__(self, overrides: Mapping[str, Any] | None = None, *, prompting: Prompting = "reference") -> None:
        """Load the weights.

        Args:
            overrides: `model`, the weights, and the options of `FastSAM.predict`.
            prompting: see `FastSAM`.

        Raises:
            WeightsError: there is no such file, or it does not fit.
        """
        self._options = dict(overrides or {})
        self.model = FastSAM(self._options.pop("model", "FastSAM-x.pt"), prompting=prompting)

    def __call__(self, source: SourceLike, stream: bool = False) -> list[Results] | Iterator[Results]:
        """Find everything in pictures; see `FastSAM.predict`."""
        return self.model(source, True, **self._options) if stream else self.model(source, **self._options)

    def prompt(
        self,
        results: Results | Sequence[Results],
        bboxes: Numbers | None = None,
        points: Numbers | None = None,
        labels: Numbers | int | None = None,
        texts: str | Sequence[str] | None = None,
    ) -> list[Results]:
        """Choose among what was found; the results given stay as they are.

        Args:
            results: of one or several pictures, each of which is asked the same.
            bboxes: [x0, y0, x1, y1] or a list of such, in pixels.
            points: [x, y] or a list of such, in pixels.
            labels: 1 fore- or 0 background for each point; None: all 1.
            texts: descriptions, for which encoders must have been fetched (see `rows_for_texts`).

        Raises:
            DataError: a prompt contradicts itself.
            WeightsError: a text is given, and there are no encoders for it.
        """
        asked = [results] if isinstance(results, Results) else results
        return [prompted(one, bboxes=bboxes, points=points, labels=labels, texts=texts) for one in asked]
