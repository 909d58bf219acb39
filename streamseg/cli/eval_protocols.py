"""Registry of the protocols of `streamseg eval`: name, data set and thresholds of each."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from streamseg.cli import eval_reports, eval_sequence_reports
from streamseg.cli.eval_reports import Report, Request
from streamseg.errors import ConfigError

__all__ = ["PROTOCOLS", "Protocol", "protocol_names", "require_libraries"]


@dataclass(frozen=True)
class Protocol:
    """One protocol: what it measures, on which data, with which thresholds."""

    summary: str
    """One phrase for the help."""
    run: Callable[[Request], Report]
    folder: str | None
    """Name of its data set within the data folder, such as "eval-coco"; None if it needs none."""
    unit: str = "images"
    """Plural noun of what the progress bar counts."""
    conf: float = 0.001
    """Default score threshold, 0..1. Recall is measured at a threshold so low that only the ranks matter."""
    iou: float = 0.7
    """Default threshold of non-maximum suppression, 0..1."""
    ranked_iou: float | None = None
    """The same if objects are ranked by `ranking_scores`; None: `iou`."""
    max_det: int = 1000
    """Default maximum number of objects per image."""
    embeddings: bool = False
    """Whether objects need appearance embeddings; tracking needs them."""


PROTOCOLS: Final = {
    "proposals": Protocol(
        "box and mask recall of class-agnostic proposals on a COCO-format folder",
        eval_reports.proposals,
        "eval-coco",
        # More outlines of an object find more objects, and cost no precision if all but the best rank later.
        ranked_iou=0.85,
    ),
    "prompted": Protocol("mIoU of the masks selected by boxes and points", eval_reports.prompted, "eval-coco"),
    "boundary": Protocol("boundary IoU of the masks", eval_reports.boundary, "eval-coco"),
    "scores": Protocol("how well scores predict mask quality", eval_reports.scores, "eval-coco", conf=0.05),
    # Low thresholds let overlapping and doubtful masks vote: what counts is where they agree.
    "edges": Protocol(
        "mask outlines against boundaries drawn by people (Berkeley benchmark)",
        eval_reports.edges,
        "eval-edges",
        conf=0.003,
        iou=0.95,
    ),
    # The thresholds of `streamseg run`, because this protocol measures live tracking.
    "video": Protocol(
        "J and F of an object tracked through sequences from a prompt in the first frame",
        eval_sequence_reports.video,
        "eval-video",
        unit="frames",
        conf=0.25,
        max_det=300,
        embeddings=True,
    ),
    "scene": Protocol(
        "precision, IDF1 and HOTA on the rendered scene", eval_sequence_reports.scene, None, unit="frames"
    ),
}
"""Protocols by name, in the order of the report."""


def protocol_names(requested: str) -> Sequence[str]:
    """Return the protocols that a name on the command line stands for; `all` stands for every protocol.

    Raises:
        argparse.ArgumentTypeError: no protocol has this name.
    """
    if requested == "all":
        return tuple(PROTOCOLS)
    if requested not in PROTOCOLS:
        near = difflib.get_close_matches(requested, [*PROTOCOLS, "all"], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"available: {', '.join([*PROTOCOLS, 'all'])}"
        raise argparse.ArgumentTypeError(f"unknown protocol {requested!r}; {hint}")
    return (requested,)


def require_libraries() -> None:
    """Check that the libraries of the extra `eval` are installed.

    Raises:
        ConfigError: one is missing.
    """
    if find_spec("pycocotools") is None:
        raise ConfigError("eval needs pycocotools, which is not installed; run: pip install 'streamseg[eval]'")
