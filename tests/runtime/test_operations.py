import json
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamseg.errors import DataError, StreamsegError
from streamseg.pipeline import Pipeline
from streamseg.publish import ControlClient, ControlServer
from streamseg.runtime import Runtime
from streamseg.runtime.operations import control_operations
from streamseg.structures.message import CropMask
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, MaskPrompt, PointPrompt
from streamseg.wire import prompt_to_json
from tests.support.frames import make_frame
from tests.support.stages import ListSink, ScriptedSource, SquareSegmenter

A_POINT = {"id": "cup", "points": [[10, 20]], "labels": [1]}
A_BOX = {"id": "door", "box": [0, 0, 30, 40]}
A_MASK = prompt_to_json(MaskPrompt("dog", CropMask(np.ones((4, 5), np.bool_), 3, 2), (48, 64)))


class Ask:
    """The operations of a runtime that has seen one picture of each size given."""

    def __init__(self, *sizes: tuple[int, int]) -> None:
        self.pipeline = Pipeline(SquareSegmenter())
        self.pipeline([make_frame(source_id=f"cam{n}", size=size) for n, size in enumerate(sizes)])
        sources = [ScriptedSource(f"cam{n}", is_live=True) for n in range(max(len(sizes), 1))]
        self.runtime = Runtime(sources, self.pipeline)
        self.num_changes = 0
        self._operations = control_operations(self.runtime, self._changed)

    def _changed(self) -> None:
        self.num_changes += 1

    def __call__(self, op: str, **args: Any) -> Any:
        return json.loads(json.dumps(self._operations[op](args), allow_nan=False))


@pytest.fixture
def ask() -> Ask:
    return Ask((48, 64))


def ids(answer: dict[str, list[dict[str, Any]]]) -> list[str]:
    return [prompt["id"] for prompt in answer["prompts"]]


def test_prompts_are_listed(ask: Ask):
    assert ask("prompts.list") == {"prompts": [{"id": "everything"}], "states": {}}


def test_prompts_are_added_and_replaced_by_their_id(ask: Ask):
    assert ids(ask("prompts.set", prompts=[A_POINT])) == ["everything", "cup"]
    answer = ask("prompts.set", prompts=[{"id": "everything", "box": [1, 2, 3, 4]}, A_BOX])
    assert ids(answer) == ["everything", "cup", "door"]
    assert ask.pipeline.prompts == (
        BoxPrompt("everything", (1, 2, 3, 4)),
        PointPrompt("cup", ((10, 20),), (1,)),
        BoxPrompt("door", (0, 0, 30, 40)),
    )


def test_all_prompts_are_replaced_where_asked(ask: Ask):
    assert ids(ask("prompts.set", prompts=[A_BOX], replace=True)) == ["door"]
    assert ids(ask("prompts.set", prompts=[], replace=True)) == []


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"id": "all", "source": "cam0"}, id="everything"),
        pytest.param({**A_POINT, "index": 3, "follow": False}, id="points"),
        pytest.param({**A_BOX, "source": "cam0", "step": 2}, id="box"),
        pytest.param(A_MASK, id="mask"),
    ],
)
def test_every_kind_of_prompt_is_taken_and_told(ask: Ask, given: dict[str, Any]):
    assert ask("prompts.set", prompts=[given], replace=True) == {"prompts": [given]}
    assert ask("prompts.set", prompts=ask("prompts.list")["prompts"]) == {"prompts": [given]}


@pytest.mark.parametrize("given", [A_POINT, A_BOX, A_MASK], ids=["points", "box", "mask"])
def test_a_prompt_that_is_in_force_already_stays_what_it_is(ask: Ask, given: dict[str, Any]):
    ask("prompts.set", prompts=[given])
    before = ask.pipeline.prompts
    ask("prompts.set", prompts=[given])
    assert ask.pipeline.prompts is before, "what is handed over again may be asked again"
    assert ask.num_changes == 1


@pytest.mark.parametrize("given", [A_POINT, A_BOX, A_MASK], ids=["points", "box", "mask"])
def test_a_step_changes_nothing_else(ask: Ask, given: dict[str, Any]):
    ask("prompts.set", prompts=[given])
    before = ask.pipeline.prompts[-1]
    ask("prompts.step", id=given["id"])
    answer = ask("prompts.step", id=given["id"])
    assert answer["prompts"][-1] == {**given, "step": 2}
    assert ask.pipeline.prompts[-1] == replace(before, step=2)
    ask("prompts.set", prompts=[{**given, "step": 5}])
    assert ask.pipeline.prompts[-1] == replace(before, step=5)
    assert ask.num_changes == 4


def test_a_prompt_of_one_source_is_held_against_its_picture_alone():
    ask = Ask((48, 64), (48, 128))
    far = {"id": "far", "points": [[100, 10]]}
    with pytest.raises(DataError, match=r"point \[100, 10\] lies outside the picture of 64x48"):
        ask("prompts.set", prompts=[{**far, "source": "cam0"}])
    assert ids(ask("prompts.set", prompts=[{**far, "source": "cam1"}])) == ["everything", "far"]


def test_a_mask_drawn_on_another_size_is_refused():
    ask = Ask((96, 128))
    with pytest.raises(DataError, match=r"its mask has the size \[48, 64\], the picture \[96, 128\]"):
        ask("prompts.set", prompts=[A_MASK])


def test_what_cannot_be_told_of_the_change_is_the_answer():
    pipeline = Pipeline(SquareSegmenter())

    def fail() -> None:
        raise DataError("cannot write prompts.json: no space left on device")

    operations = control_operations(Runtime([ScriptedSource("cam")], pipeline), fail)
    with pytest.raises(DataError, match="no space left"):
        operations["prompts.set"]({"prompts": [A_POINT]})
    assert [prompt.prompt_id for prompt in pipeline.prompts] == ["everything", "cup"], "they are in force all the same"


def test_no_change_is_lost_between_two_threads(ask: Ask):
    def add(start: int) -> None:
        for number in range(start, start + 50):
            ask("prompts.set", prompts=[{"id": str(number)}])

    threads = [threading.Thread(target=add, args=(start,)) for start in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ask.pipeline.prompts) == 151


def test_prompts_are_cleared(ask: Ask):
    ask("prompts.set", prompts=[A_POINT, A_BOX])
    assert ids(ask("prompts.clear", ids=["everything", "door"])) == ["cup"]
    assert ids(ask("prompts.clear")) == []
    assert ids(ask("prompts.clear")) == []


@pytest.mark.parametrize(
    ("op", "args", "message"),
    [
        pytest.param("prompts.set", {}, 'prompts.set needs "prompts"', id="no-prompts"),
        pytest.param("prompts.set", {"prompts": "cup"}, "list of at most 1024, got str", id="no-list"),
        pytest.param("prompts.set", {"prompts": [{"id": "cup", "points": []}]}, "has no points", id="no-point"),
        pytest.param("prompts.set", {"prompts": [{"id": "cup", "pts": []}]}, "no key 'pts'", id="unknown-key"),
        pytest.param("prompts.set", {"prompts": [A_BOX], "replace": 1}, "true or false, got '1'", id="replace-no-bool"),
        pytest.param(
            "prompts.set", {"prompts": [A_BOX], "clear": True}, "unknown argument 'clear'", id="unknown-argument"
        ),
        pytest.param("prompts.set", {"prompts": [A_BOX, A_BOX]}, "occurs twice: 'door'", id="same-id"),
        pytest.param(
            "prompts.set", {"prompts": [{"id": "far", "points": [[900, 2]]}]}, "far", id="outside-the-picture"
        ),
        pytest.param(
            "prompts.set",
            {"prompts": [{"id": "far", "box": [70, 0, 80, 9], "source": "cam0"}]},
            "outside the picture of 64x48",
            id="outside-the-source's-picture",
        ),
        pytest.param(
            "prompts.set",
            {"prompts": [{"id": "a", "source": "cam9"}]},
            "prompt 'a' asks the source 'cam9'; there are cam0",
            id="unknown-source",
        ),
        pytest.param(
            "prompts.set", {"prompts": [{"id": "a", "text": "x" * 10_000}]}, "10000 characters; at most 256", id="text"
        ),
        pytest.param(
            "prompts.set", {"prompts": [{"id": "red", "text": "a cup"}]}, "text encoders", id="text-without-encoders"
        ),
        pytest.param(
            "prompts.set",
            {"prompts": [{"id": "dog", "mask": {"size": [48, 64], "counts": "05"}}]},
            "add up to 5 pixels",
            id="broken-mask",
        ),
        pytest.param(
            "prompts.set", {"prompts": [{"id": str(n)} for n in range(1025)]}, "at most 1024, got 1025", id="too-many"
        ),
        pytest.param("prompts.step", {}, "no prompt 'None'; there are everything", id="step-without-id"),
        pytest.param("prompts.step", {"id": "cup"}, "no prompt 'cup'; there are everything", id="step-unknown"),
        pytest.param("prompts.step", {"id": "everything"}, "nothing to step through", id="step-of-everything"),
        pytest.param("prompts.step", {"id": ["a"]}, "no prompt", id="step-no-name"),
        pytest.param("prompts.step", {"id": "a", "by": 2}, "unknown argument 'by'; valid ones are id", id="step-by"),
        pytest.param("step", {}, "not paused", id="step-without-pause"),
        pytest.param("step", {"frames": 2}, "unknown argument 'frames'", id="step-frames"),
        pytest.param("prompts.clear", {"ids": ["cup"]}, "no prompt 'cup'; there are everything", id="clear-unknown"),
        pytest.param("prompts.clear", {"ids": "everything"}, "list of prompt ids", id="clear-no-list"),
        pytest.param("prompts.clear", {"ids": [["a"]]}, "no prompt", id="clear-no-names"),
        pytest.param("status", {"verbose": True}, "unknown argument 'verbose'; valid ones are none", id="status"),
        pytest.param("pause", {"seconds": 3}, "unknown argument 'seconds'", id="pause"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(ask: Ask, op: str, args: dict[str, Any], message: str):
    with pytest.raises(StreamsegError) as caught:
        ask(op, **args)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ask.num_changes == 0
    assert ask.pipeline.prompts == (EverythingPrompt(),)
    assert not ask.runtime.figures().is_paused


def test_a_prompt_must_lie_in_the_picture_of_some_source():
    far = {"id": "far", "points": [[100, 10]]}
    assert ids(Ask((48, 64), (48, 128))("prompts.set", prompts=[far])) == ["everything", "far"]
    assert ids(Ask()("prompts.set", prompts=[far])) == ["everything", "far"], "no picture was seen yet"


def test_there_is_a_limit_to_prompts():
    ask = Ask()
    many = [{"id": str(number)} for number in range(1024)]
    ask("prompts.set", prompts=many, replace=True)
    with pytest.raises(DataError, match="1024 prompts at a time"):
        ask("prompts.set", prompts=[A_BOX])
    assert len(ask.pipeline.prompts) == 1024


def test_there_is_a_limit_to_what_prompts_hold():
    ask = Ask()
    heavy = {"points": [[0.123456789012345, 0.123456789012345]] * 1024}
    first, second = ([{"id": f"{name}{n}", **heavy} for n in range(30)] for name in "ab")
    ask("prompts.set", prompts=first, replace=True)
    with pytest.raises(DataError, match="2097152 bytes as JSON"):
        ask("prompts.set", prompts=second)
    assert len(ask.pipeline.prompts) == 30


def test_a_prompt_that_stays_has_nothing_to_step_through(ask: Ask):
    ask("prompts.set", prompts=[{**A_POINT, "follow": False}])
    with pytest.raises(DataError, match="nothing to step through"):
        ask("prompts.step", id="cup")


def test_pause_and_resume(ask: Ask):
    assert ask("pause") == {"paused": True}
    assert ask("status")["is_paused"] is True
    assert ask("resume") == {"paused": False}
    assert ask("status")["is_paused"] is False


def test_a_step_while_paused(ask: Ask):
    ask("pause")
    assert ask("step") == {"paused": True}
    assert ask("status")["is_paused"] is True


def test_status_tells_figures_and_prompts(ask: Ask):
    status = ask("status")
    assert status["prompts"] == [{"id": "everything"}]
    assert status["sources"][0]["source_id"] == "cam0"
    assert status["sources"][0]["state"] == "starting"
    assert status["ages"]["p95_ms"] is None


def test_prompts_change_through_the_channel_while_frames_flow():
    sink = ListSink()
    source = ScriptedSource("cam", is_live=True, paced_seconds=0.002)
    runtime = Runtime([source], Pipeline(SquareSegmenter()), [sink])

    def steer(_: object) -> None:
        sink.wait_for(1)
        with ControlClient(server.endpoint) as client:
            client.call("prompts.set", {"prompts": [{"id": "left", "points": [[1, 1]]}], "replace": True})
            with pytest.raises(DataError, match="far"):
                client.call("prompts.set", {"prompts": [{"id": "far", "points": [[900, 2]]}]})
            sink.wait_for(len(sink.results) + 3)  # one may have been under way, and another had seen the old prompts
            assert client.call("status")["num_frames"] > 0
        runtime.stop()

    with ControlServer("tcp://127.0.0.1:0", control_operations(runtime)) as server:
        runtime.run(steer, interval_seconds=0.1)
    asked = [[selection.prompt_id for selection in result.selections] for result in sink.results]
    assert asked[0] == ["everything"]
    assert asked[-1] == ["left"]


def test_frames_are_stepped_through_and_prompts_tell_their_state():
    sink = ListSink()
    source = ScriptedSource("cam", is_live=True, paced_seconds=0.002)
    runtime = Runtime([source], Pipeline(SquareSegmenter()), [sink])
    operations = control_operations(runtime)
    states: list[Any] = []
    operations["prompts.set"]({"prompts": [{"id": "square", "points": [[30, 16]]}], "replace": True})
    operations["pause"]({})

    def steer(_: object) -> None:
        assert not sink.results
        for num_results in range(1, 4):
            operations["step"]({})
            sink.wait_for(num_results)
        operations["resume"]({})
        sink.wait_for(6)
        states.append(operations["prompts.list"]({})["states"])
        operations["prompts.clear"]({})
        states.append(operations["prompts.list"]({})["states"])
        runtime.stop()

    runtime.run(steer, interval_seconds=0.1)
    (status,) = states[0]["cam"]
    assert status.keys() == {"id", "state", "confidence", "track_id"}
    assert status["id"] == "square"
    assert states[1] == {"cam": []}


def test_a_thousand_prompts_come_through_the_channel():
    pipeline = Pipeline(SquareSegmenter())
    pipeline([make_frame(source_id="cam")])
    runtime = Runtime([ScriptedSource("cam", is_live=True)], pipeline)
    kinds = [
        {"points": [[31.25, 17.5], [12.125, 3.0625]], "labels": [1, 0]},
        {"box": [1.125, 2.25, 63.0625, 47.5]},
        {"mask": A_MASK["mask"]},
        {},
    ]
    many = [{"id": f"prompt number {n}", "source": "cam", **kinds[n % 4]} for n in range(1000)]
    with (
        ControlServer("tcp://127.0.0.1:0", control_operations(runtime)) as server,
        ControlClient(server.endpoint) as client,
    ):
        assert client.call("prompts.set", {"prompts": many, "replace": True})["prompts"] == many
        with pytest.raises(DataError, match="at most 1024, got 2000"):
            client.call("prompts.set", {"prompts": many * 2})
        assert client.call("prompts.list")["prompts"] == many
