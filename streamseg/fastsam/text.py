"""Where text chooses among masks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from streamseg.config import TextConfig
from streamseg.fastsam.reference_text import best_objects
from streamseg.fastsam.results import Results
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import TextPrompt
from streamseg.text import Encoders, TextSelector, encoders_folder, load_encoders

__all__ = ["rows_for_texts"]


def rows_for_texts(result: Results, texts: Sequence[str]) -> list[int]:
    """The rows that descriptions fit; `FastSAM`, `FastSAMPredictor` and `FastSAMPrompt` all ask here.

    By the reference's rules each text has the one row that it fits best, however badly, as long as there is an object
    of more than 100 pixels. By streamseg's rules a text has every row that it describes better than the other texts
    and "none of these" do; best first.

    Raises:
        WeightsError: there are no encoders of pictures and words, or broken ones; says which command fetches them.
        ConfigError: the package `tokenizers` is not installed.
        DataError: a text is empty or too long.
    """
    prompts = [TextPrompt(f"text{number}", text) for number, text in enumerate(texts)]
    encoders = _encoders()
    image = np.ascontiguousarray(result.orig_img[:, :, ::-1])
    if result.prompting == "reference":
        return [row for row, _ in best_objects(encoders, image, result.instances, texts)]
    frame = Frame(image, "picture", 0, None, 0, "arrival", 0)
    tracked = Tracked(result.instances, torch.full((len(result),), -1))
    usual = TextConfig()
    select = TextSelector(lambda: encoders, context=usual.context, background=usual.background).open_source()
    return list(dict.fromkeys(row for selection in select(frame, tracked, prompts) for row in selection.rows))


def _encoders() -> Encoders:
    folder = encoders_folder()
    changed_ns = tuple(path.stat().st_mtime_ns for path in sorted(folder.glob("*.json")))
    return _loaded(folder, changed_ns)


@lru_cache(maxsize=1)
def _loaded(folder: Path, changed_ns: tuple[int, ...]) -> Encoders:
    """Loaded once, and again when the folder was exported again."""
    return load_encoders(folder)
