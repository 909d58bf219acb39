"""What comes out of a frame: its message, and all that stands behind that."""

from __future__ import annotations

from dataclasses import dataclass

from streamseg.pipeline.compose import Answers
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.message import Message
from streamseg.structures.prompt import Selection
from streamseg.telemetry import Drops

__all__ = ["FrameResult"]


@dataclass(frozen=True, eq=False)
class FrameResult:
    """All that is known about one frame in the end."""

    frame: Frame
    message: Message
    """What is published: the objects that answer a prompt."""
    tracked: Tracked
    """Every instance of the frame, asked for or not."""
    selections: tuple[Selection, ...]
    """One for each prompt that is asked of the frame's source, in the prompts' order; its rows are rows of
    `tracked`."""

    @classmethod
    def of(
        cls,
        frame: Frame,
        tracked: Tracked,
        answers: Answers,
        *,
        now_ns: int,
        frame_id: str = "",
        drops: Drops | None = None,
    ) -> FrameResult:
        """From the answers to all prompts.

        Args:
            frame: the frame.
            tracked: its instances.
            answers: those to the prompts that are asked of its source.
            now_ns: wall clock (ns since the Unix epoch), against which its age is taken.
            frame_id: name of its coordinate frame; "" for none.
            drops: frames dropped so far, to be told to subscribers.
        """
        message = Message(
            source_id=frame.source_id,
            frame_index=frame.index,
            captured_ns=frame.captured_ns,
            clock=frame.clock,
            age_ms=(now_ns - frame.captured_ns) / 1e6,
            image_size=frame.size,
            mask_size=answers.mask_size,
            mask_to_image=answers.mask_to_image,
            objects=answers.objects,
            pts_seconds=frame.pts_seconds,
            frame_id=frame_id,
            prompts=tuple(one.status for one in answers.selections if one.status is not None),
            drops=drops if drops is not None else {},
        )
        return cls(frame, message, tracked, answers.selections)
