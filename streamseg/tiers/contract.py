"""The records and interfaces between tiers and pipeline.

    frame ─► segment ─► track ─► select ─► MemoryTier.follow ─► masks ─► QualityTier.improve ─► Message
                           └► text: a TextMatcher, which may be a detector

The methods are called in the finishing thread, frame by frame; the frames of one source come in order. They never
raise: `guard.TierGuard` switches a tier off that does, and the frame keeps what it has without it. They hold to their
budget by predicted times, see `costs.StageCosts`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from streamseg.prompting import PromptSet
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.message import MessageObject
from streamseg.structures.prompt import Selection

__all__ = ["BetterMask", "MemoryTier", "QualityTier", "ReportsTier", "TierName", "TierReport", "Tiers"]

TierName = Literal["quality", "memory", "words"]


@dataclass(frozen=True)
class TierReport:
    """What a tier has done since the start of the run."""

    tier: TierName
    model: str
    """Name of the model, as configured."""
    state: Literal["working", "failed"] = "working"
    """failed: the model raised an error and is not used any more."""
    error: str | None = None
    """The error in one line; None if there was none."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Number of objects by outcome, such as `improved`, `over_budget` or `disagreed`."""


@runtime_checkable
class ReportsTier(Protocol):
    """A part of the pipeline that is a tier."""

    def report(self) -> TierReport:
        """Return what the tier has done so far; thread-safe."""
        ...


class BetterMask(NamedTuple):
    """A mask that replaces that of a published object."""

    mask: CropMask
    """At the size of the source image, in its mask space; not empty."""
    quality: float
    """Expected IoU with the object, as the model predicts it, 0..1."""


class QualityTier(ReportsTier, Protocol):
    """Better masks for published objects; shared by all sources."""

    def improve(
        self, frame: Frame, objects: Sequence[MessageObject], prompted: Collection[str]
    ) -> Mapping[int, BetterMask]:
        """Return better masks by position in `objects`; objects without one keep theirs.

        Args:
            frame: the frame.
            objects: its published objects, by descending score; may be empty. Their masks are in their mask spaces,
                their boxes in pixels of the source image.
            prompted: ids of the prompts that target specific objects.
        """
        ...

    def end_source(self, source_id: str) -> None:
        """Forget a source that has ended; unknown ids are fine."""
        ...


class MemoryTier(ReportsTier, Protocol):
    """Follows the targets of prompts by a memory of their appearance; shared by all sources, with a session each."""

    def follow(
        self, frame: Frame, tracked: Tracked, prompts: PromptSet, selections: Sequence[Selection]
    ) -> list[Selection]:
        """Return the selections of one frame, some of them replaced by what the memory sees.

        A replaced selection has a `mask` at the size of the image, no rows, and a status with
        `mask_source="memory"` and the `mask_quality` that the model predicts. All others are returned as they are.

        Args:
            frame: the frame.
            tracked: its instances; K may be 0.
            prompts: the prompts of the source but texts; only `prompts.followed` have a memory.
            selections: those of the built-in tracker, one per prompt, in the prompts' order. They start the memory of
                a prompt, and correct it after a loss.
        """
        ...

    def end_source(self, source_id: str) -> None:
        """Forget a source that has ended; unknown ids are fine."""
        ...


@dataclass(frozen=True)
class Tiers:
    """The tiers of a pipeline. The words tier is its text matcher."""

    quality: QualityTier | None = None
    memory: MemoryTier | None = None
