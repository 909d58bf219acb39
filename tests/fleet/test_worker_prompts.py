"""Prompts that a worker puts into force while its heartbeats go on."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from streamseg.errors import DataError
from streamseg.fleet.report import PromptReply
from streamseg.fleet.worker_prompts import WorkerPrompts
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import MaskPrompt, PointPrompt, Prompt
from streamseg.wire import prompt_to_json
from tests.support.waiting import wait_until

CUP = {"id": "cup", "source": "a", "points": [[1, 2]], "index": 7}
EVERYWHERE = {"id": "all", "box": [0, 0, 9, 9], "index": 7}
DOG = prompt_to_json(MaskPrompt("dog", CropMask(np.ones((4, 5), np.bool_), 3, 2), (48, 64)))


class Run:
    """Remembers prompts, refuses the one called `bad`, and waits while it is told to."""

    def __init__(self) -> None:
        self.prompts: tuple[Prompt, ...] = ()
        self.may_set = threading.Event()
        self.may_set.set()

    def set_prompts(self, prompts: Sequence[Prompt]) -> None:
        self.may_set.wait(600)
        if any(prompt.prompt_id == "bad" for prompt in prompts):
            raise DataError("prompt 'bad' is bad")
        self.prompts = tuple(prompts)


@pytest.fixture
def run() -> Run:
    return Run()


def test_they_are_in_force_or_refused(run: Run, no_thread_left: None):
    with WorkerPrompts(run.set_prompts) as prompts:
        assert prompts.reply == PromptReply(0)
        prompts.want(1, [CUP], ["a"])
        wait_until(lambda: prompts.reply == PromptReply(1))
        assert run.prompts == (PointPrompt("cup", ((1, 2),), (1,), source_id="a", frame_index=7),)
        prompts.want(2, [CUP, {"id": "bad"}], ["a"])
        wait_until(lambda: prompts.reply == PromptReply(2, "prompt 'bad' is bad"))
        assert len(run.prompts) == 1


def test_a_slow_one_does_not_hold_up_the_caller(run: Run, no_thread_left: None):
    run.may_set.clear()
    with WorkerPrompts(run.set_prompts) as prompts:
        prompts.want(1, [CUP], [])
        prompts.want(2, [], [])
        prompts.want(3, [EVERYWHERE], [])
        assert prompts.reply == PromptReply(0)
        run.may_set.set()
        wait_until(lambda: prompts.reply == PromptReply(3))
        assert [prompt.prompt_id for prompt in run.prompts] == ["all"], "the newest wins"


def test_the_frame_of_a_sender_counts_where_the_camera_is(run: Run, no_thread_left: None):
    def indices() -> list[int | None]:
        return [prompt.frame_index for prompt in run.prompts if isinstance(prompt, PointPrompt)]

    with WorkerPrompts(run.set_prompts) as prompts:
        prompts.want(1, [CUP], ["b"])
        wait_until(lambda: prompts.reply.revision == 1)
        assert indices() == [None], "a frame of another worker"
        prompts.want(2, [CUP, EVERYWHERE], ["a"])
        wait_until(lambda: prompts.reply.revision == 2)
        assert indices() == [None], "unchanged"
        prompts.want(3, [{**CUP, "points": [[3, 4]]}], ["a"])
        wait_until(lambda: prompts.reply.revision == 3)
        assert indices() == [7]


def test_unchanged_masks_are_the_same_objects(run: Run, no_thread_left: None):
    with WorkerPrompts(run.set_prompts) as prompts:
        prompts.want(1, [DOG], [])
        wait_until(lambda: prompts.reply.revision == 1)
        before = run.prompts[0]
        prompts.want(2, [dict(DOG), CUP], [])
        wait_until(lambda: prompts.reply.revision == 2)
        assert run.prompts[0] is before, "another one would be evaluated again"
