"""Tracked frames of known shapes and identities, for tests of prompt tracking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from streamseg.prompting import PromptSet, PromptTracker
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import PointPrompt, Selection, SpatialPrompt
from streamseg.synthetic import SceneTruth
from tests.support.shapes import Shape, detect_shapes

FPS = 10.0

Objects = Sequence[tuple[int, Shape]]
"""Objects of one frame: identity (-1: tentative) and shape."""

CUP = Shape(80, 120, 60, 90)
HANDLE = Shape(80, 120, 20, 24, "rectangle", score=0.8)
BOX = Shape(250, 60, 70, 50, "rectangle", score=0.7)
KITE = Shape(180, 190, 60, 60, "triangle", score=0.6)
OTHERS: Objects = [(8, BOX), (9, KITE)]
BOTH: Objects = [(1, CUP), *OTHERS]


def shifted(shape: Shape, x: float, y: float = 0.0) -> Shape:
    """Return the shape at another position."""
    return replace(shape, x=shape.x + x, y=shape.y + y)


def frame_of(objects: Objects, embeddings: dict[int, Sequence[float]] | None = None) -> Tracked:
    """Return the tracked instances of one frame; `embeddings` are by identity."""
    instances = _detected(tuple(shape for _, shape in objects))
    if embeddings is not None:
        rows = np.array([embeddings[identity] for identity, _ in objects], np.float32).reshape(len(objects), -1)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        instances = replace(instances, embeddings=torch.from_numpy(rows))
    return Tracked(instances, torch.tensor([identity for identity, _ in objects], dtype=torch.int64))


def scene_frame(truth: SceneTruth) -> Tracked:
    """Return the ground truth of one frame of the rendered scene, whose masks have the same space, as instances."""
    size = truth.masks[0].space.size if truth.masks and truth.masks[0].space is not None else (1, 1)
    logits = [np.where(mask.full(size), 6.0, -6.0) for mask in truth.masks]
    instances = Instances(
        boxes=torch.from_numpy(truth.boxes.astype(np.float32)),
        scores=torch.ones(len(logits)),
        mask_logits=torch.from_numpy(np.array(logits, dtype=np.float32).reshape(len(logits), *size)),
        grid_to_image=GridTransform(1.0, 1.0, 0.0, 0.0),
        image_size=size,
    )
    return Tracked(instances, torch.from_numpy(truth.track_ids.astype(np.int64)))


@cache
def _detected(shapes: tuple[Shape, ...]) -> Instances:
    return detect_shapes(shapes)


def click(x: float, y: float, *, prompt_id: str = "click", **settings: object) -> PointPrompt:
    """Return a point prompt of one foreground point."""
    return PointPrompt(prompt_id, ((x, y),), (1,), **settings)  # type: ignore[arg-type]


CLICK = click(CUP.x, CUP.y)
BOUND, LOST, NONE = ("bound", 1), ("lost", 1), ("none", -1)
"""Status (state and identity) of a click on the cup of `BOTH`."""


def restored(state: Mapping[str, object]) -> PromptTracker:
    """Return a prompt tracker with the targets of an earlier run."""
    tracker = PromptTracker()
    tracker.load_state_dict(state)
    return tracker


class Run:
    """A prompt tracker with its frame counter."""

    def __init__(self, state: dict[str, object] | None = None) -> None:
        self.tracker = restored(state or {})
        self._prompts = PromptSet.of(())
        self.index = -1

    def __call__(self, frame: Tracked, *prompts: SpatialPrompt, skip: int = 0) -> list[Selection]:
        """Return the selections in the next frame, after `skip` dropped frames."""
        self.index += 1 + skip
        if prompts != self._prompts.prompts or any(
            a is not b for a, b in zip(prompts, self._prompts.prompts, strict=True)
        ):
            self._prompts = PromptSet.of(prompts)
        return self.tracker.update(frame, self._prompts, frame_index=self.index, time_seconds=self.index / FPS)

    def statuses(self, frames: Iterable[Objects], *prompts: SpatialPrompt) -> list[list[tuple[str, int]]]:
        """Return state and identity of each prompt, by frame."""
        return [[status_of(one) for one in self(frame_of(objects), *prompts)] for objects in frames]


def status_of(selection: Selection) -> tuple[str, int]:
    """Return state and identity of a selection."""
    assert selection.status is not None
    return selection.status.state, selection.status.track_id


def one_prompt(*states: tuple[str, int]) -> list[list[tuple[str, int]]]:
    """Return the result of `Run.statuses` for one prompt with these statuses, frame by frame."""
    return [[state] for state in states]
