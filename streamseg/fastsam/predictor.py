"""`FastSAMPredictor`: one network pass, any number of prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streamseg.fastsam.model import FastSAM
from streamseg.fastsam.results import Prompting, Results
from streamseg.fastsam.results_selection import Numbers, apply_prompts
from streamseg.fastsam.sources import SourceLike

__all__ = ["FastSAMPredictor"]


class FastSAMPredictor:
    """A model with fixed options."""

    def __init__(self, overrides: Mapping[str, Any] | None = None, *, prompting: Prompting = "reference") -> None:
        """Load the weights.

        Args:
            overrides: `model`, the weights, and the options of `FastSAM.predict`.
            prompting: see `FastSAM`.

        Raises:
            WeightsError: the file does not exist or is not a supported network.
        """
        self._options = dict(overrides or {})
        self.model = FastSAM(self._options.pop("model", "FastSAM-x.pt"), prompting=prompting)

    def __call__(self, source: SourceLike, stream: bool = False) -> list[Results] | Iterator[Results]:
        """Find all objects in images; see `FastSAM.predict`."""
        return self.model(source, True, **self._options) if stream else self.model(source, **self._options)

    def prompt(
        self,
        results: Results | Sequence[Results],
        bboxes: Numbers | None = None,
        points: Numbers | None = None,
        labels: Numbers | int | None = None,
        texts: str | Sequence[str] | None = None,
    ) -> list[Results]:
        """Select the objects that match prompts; `results` is not changed.

        Args:
            results: results of one or several images; the prompts apply to each.
            bboxes: [x0, y0, x1, y1] or a list of such boxes, in pixels.
            points: [x, y] or a list of such points, in pixels.
            labels: 1 foreground or 0 background for each point; None: all 1.
            texts: descriptions; text encoders must have been exported (see `rows_for_texts`).

        Raises:
            DataError: a prompt is invalid.
            WeightsError: texts are given without text encoders.
        """
        given = [results] if isinstance(results, Results) else results
        return [apply_prompts(one, bboxes=bboxes, points=points, labels=labels, texts=texts) for one in given]
