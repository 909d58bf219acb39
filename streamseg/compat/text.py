"""Where text will choose among masks."""

from __future__ import annotations

from collections.abc import Sequence

from streamseg.compat.results import Results
from streamseg.errors import EngineError

__all__ = ["rows_for_texts"]


def rows_for_texts(result: Results, texts: Sequence[str]) -> list[int]:
    """The rows that fit descriptions best, one per text.

    Whoever brings encoders fills this in: `FastSAM`, `FastSAMPredictor` and `FastSAMPrompt` all ask here.

    Raises:
        EngineError: always: there are no encoders yet to compare pictures and words with.
    """
    raise EngineError(
        f"text prompts ({texts[0]!r}) need encoders of pictures and words, which this version does not have; "
        "choose by points or boxes instead"
    )
