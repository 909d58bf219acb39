"""Results of frames with prompts in given states, for tests of the collected data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from streamseg.pipeline import FrameResult
from streamseg.structures.instances import Tracked
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import PointPrompt, Prompt
from tests.support.frames import make_frame
from tests.support.messages import make_message, make_object
from tests.support.stages import make_instances

SIZE = (48, 64)
FPS = 10.0
CUP = PointPrompt("cup", ((12.0, 20.0),), (1,))
CUP_AGAIN = PointPrompt("cup", ((12.0, 20.0), (16.0, 24.0)), (1, 1))


def status(state: str = "bound", *, prompt_id: str = "cup", **values: Any) -> PromptStatus:
    """The status of a prompt whose object is certain, if it is visible."""
    given = {"confidence": 0.9, "track_id": 3, "mask_quality": 0.9} if state in ("bound", "reacquired") else {}
    return PromptStatus(prompt_id, state, **{**given, **values})  # type: ignore[arg-type]


def prompted_result(
    index: int,
    prompts: Sequence[Prompt] = (CUP,),
    statuses: Sequence[PromptStatus] | None = None,
    *,
    left: Mapping[str, int] | None = None,
    size: tuple[int, int] = SIZE,
    source_id: str = "cam",
) -> FrameResult:
    """Return a frame in which each visible prompt has a square of 16 pixels.

    Args:
        index: number of the frame, at ten frames per second.
        prompts: in force.
        statuses: of the prompts; None: all bound.
        left: left edge of a prompt's square; 8 if missing.
        size: (H, W) of the image.
        source_id: of the frame.
    """
    given = [status(prompt_id=one.prompt_id) for one in prompts] if statuses is None else statuses
    visible = [one for one in given if one.state in ("bound", "reacquired")]
    objects = [
        make_object(
            np.ones((16, 16), np.bool_), (left or {}).get(one.prompt_id, 8), 16, prompt_ids=(one.prompt_id,), track_id=3
        )
        for one in visible
    ]
    message = make_message(*objects, size=size, source_id=source_id, frame_index=index, prompts=tuple(given))
    tracked = Tracked(make_instances([], image_size=size), torch.zeros(0, dtype=torch.int64))
    frame = make_frame(index, size=size, source_id=source_id, fps=FPS)
    return FrameResult(frame, message, tracked, (), tuple(prompts))
