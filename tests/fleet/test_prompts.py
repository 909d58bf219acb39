"""The prompts of a fleet, with workers that only remember."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from streamseg.errors import DataError
from streamseg.fleet.prompts import FleetPrompts
from streamseg.fleet.report import CameraReport, PromptReply
from streamseg.fleet.status import CameraStatus
from streamseg.publish.control import Op
from streamseg.publish.prompt_operations import prompt_operations
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import EverythingPrompt
from streamseg.wire.prompt_statuses import prompt_statuses_to_json

CUP = {"id": "cup", "source": "door", "points": [[10, 20]], "labels": [1]}


class RememberingWorker:
    """Replies at once; refuses the prompt called `bad`."""

    def __init__(self, *, was_ready: bool = True, is_silent: bool = False) -> None:
        self.was_ready = was_ready
        self._is_silent = is_silent
        self.revision = 0
        self.ids: list[str] = []

    def want_prompts(self, revision: int, prompts: Sequence[Mapping[str, Any]]) -> None:
        self.revision, self.ids = revision, [prompt["id"] for prompt in prompts]

    def prompts_reply(self, revision: int, seconds: float) -> PromptReply | None:
        if self._is_silent:
            return None
        return PromptReply(self.revision, "prompt 'bad' is bad" if "bad" in self.ids else None)


def report(**changes: Any) -> CameraReport:
    return CameraReport("live", 1.0, 1.0, 1.0, 1, 0, 1.0, **changes)


def fleet_of(*workers: RememberingWorker, **cameras: CameraStatus) -> tuple[Mapping[str, Op], FleetPrompts]:
    bound = prompt_statuses_to_json([PromptStatus("cup", "bound", 0.5, 3)])
    known = {
        "door": CameraStatus("door", "w0", report(image_size=(48, 64), prompts=bound), None),
        "yard": CameraStatus("yard", "w1", None, None),
        "gone": CameraStatus("gone", "w1", None, "no such file"),
        **cameras,
    }
    named = {f"w{number}": worker for number, worker in enumerate(workers)}
    prompts = FleetPrompts([EverythingPrompt()], named, lambda: list(known), lambda: known)
    return prompt_operations(prompts), prompts


def ids(reply: Any) -> list[str]:
    return [prompt["id"] for prompt in reply["prompts"]]


def test_every_worker_gets_every_prompt():
    workers = RememberingWorker(), RememberingWorker()
    operations, _ = fleet_of(*workers)
    assert ids(operations["prompts.set"]({"prompts": [CUP]})) == ["everything", "cup"]
    assert [worker.ids for worker in workers] == [["everything", "cup"]] * 2
    assert operations["prompts.step"]({"id": "cup"})["prompts"][1] == {**CUP, "step": 1}
    assert ids(operations["prompts.clear"]({"ids": ["everything"]})) == ["cup"]
    assert [worker.revision for worker in workers] == [3, 3]


def test_states_are_those_of_the_last_heartbeat():
    operations, _ = fleet_of(RememberingWorker())
    operations["prompts.set"]({"prompts": [CUP]})
    states = operations["prompts.list"]({})["states"]
    assert list(states) == ["door"]
    assert (states["door"][0]["id"], states["door"][0]["state"]) == ("cup", "bound")


def test_workers_that_do_not_reply_are_named():
    operations, _ = fleet_of(RememberingWorker(), RememberingWorker(is_silent=True), RememberingWorker(was_ready=False))
    reply = operations["prompts.set"]({"prompts": [CUP]})
    assert ids(reply) == ["everything", "cup"]
    assert reply["warning"] == "the prompts are kept, but these workers have not replied yet: w1, w2"


def test_a_prompt_that_a_worker_refuses_is_in_force_nowhere():
    workers = RememberingWorker(), RememberingWorker()
    operations, prompts = fleet_of(*workers)
    with pytest.raises(DataError, match=r"^prompt 'bad' is bad$"):
        operations["prompts.set"]({"prompts": [CUP, {"id": "bad"}]})
    assert [worker.ids for worker in workers] == [["everything"]] * 2
    assert prompts.prompts == (EverythingPrompt(),)


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        pytest.param({**CUP, "source": "roof"}, "unknown source 'roof'; sources are door, yard, gone", id="unknown"),
        pytest.param({**CUP, "source": "gone"}, "prompt 'cup': 'gone' is not in use: no such file", id="refused"),
        pytest.param({**CUP, "points": [[100, 2]]}, r"point \[100, 2\] lies outside the image of 64x48", id="outside"),
        pytest.param({**CUP, "colour": "red"}, "unknown prompt key 'colour'", id="key"),
    ],
)
def test_mistakes_are_one_line_and_reach_no_worker(prompt: dict[str, Any], error: str):
    worker = RememberingWorker()
    operations, _ = fleet_of(worker)
    with pytest.raises(DataError, match=error) as caught:
        operations["prompts.set"]({"prompts": [prompt]})
    assert "\n" not in str(caught.value)
    assert worker.revision == 0


def test_a_camera_that_moves_keeps_its_prompts():
    operations, _ = fleet_of(RememberingWorker())
    far = {**CUP, "source": "yard", "points": [[5000, 2]]}
    assert ids(operations["prompts.set"]({"prompts": [far]})) == ["everything", "cup"], "its image is not known yet"
