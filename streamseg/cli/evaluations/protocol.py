"""What the command line knows of a protocol: the pictures that it needs, how they are segmented, what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.cli.tables import Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from streamseg.structures.instances import Instances

__all__ = ["Protocol", "Report", "Request"]


@dataclass(frozen=True)
class Request:
    """What a protocol is to measure."""

    segment: Callable[[Sequence[npt.NDArray[np.uint8]]], Sequence[Instances]]
    """RGB pictures (H, W, 3) to their objects."""
    segment_live: Callable[[Sequence[npt.NDArray[np.uint8]]], Sequence[Instances]]
    """The same as `streamseg run` finds them, which may be fewer."""
    folder: Path
    """The data set; meaningless where the protocol names none."""
    limit: int | None
    """The most pictures to use, the first ones; None for all."""
    on_image: Callable[[int, int], None]
    """To be called with how many pictures are done, and of how many."""


@dataclass(frozen=True)
class Report:
    """What was measured, and how to show it."""

    scores: Any
    """A dataclass of figures; `dataclasses.asdict` gives what is written as JSON."""
    tables: tuple[Table, ...]
    plots: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    """By file name, such as "recall.png": what draws the plot into the path that it is given."""


@dataclass(frozen=True)
class Protocol:
    """How one protocol is run."""

    run: Callable[[Request], Report]
    folder: str | None
    """Name of its data set within the folder of data, such as "eval-coco"; None: it needs none."""
    unit: str = "pictures"
    """What the progress bar counts."""
    conf: float = 0.001
    """Lowest score, unless the user says otherwise. Recall is taken at so low a score that ranks alone decide."""
    iou: float = 0.7
    max_det: int = 1000
    embeddings: bool = False
    """What objects look like is needed to follow them."""
