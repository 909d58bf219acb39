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
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, MaskPrompt, PointPrompt
from streamseg.wire import prompt_to_json
from tests.support.frames import make_frame
from tests.support.stages import ListSink, ScriptedSource, SquareSegmenter

A_POINT = {"id": "cup", "points": [[10, 20]], "labels": [1]}
A_BOX = {"id": "door", "box": [0, 0, 30, 40]}
A_MASK = prompt_to_json(MaskPrompt("dog", CropMask(np.ones((4, 5), np.bool_), 3, 2), (48, 64)))


class Operations:
    """The operations of a runtime that has processed one image of each given size."""

    def __init__(self, *sizes: tuple[int, int]) -> None:
        self.pipeline = Pipeline(SquareSegmenter())
        self.pipeline([make_frame(source_id=f"cam{n}", size=size) for n, size in enumerate(sizes)])
        sources = [ScriptedSource(f"cam{n}", is_live=True) for n in range(max(len(sizes), 1))]
        self.runtime = Runtime(sources, self.pipeline)
        self.num_changes = 0
        self._by_name = control_operations(self.runtime, self._changed)

    def _changed(self) -> None:
        self.num_changes += 1

    def __call__(self, op: str, **args: Any) -> Any:
        return json.loads(json.dumps(self._by_name[op](args), allow_nan=False))


@pytest.fixture
def operations() -> Operations:
    return Operations((48, 64))


def ids(reply: dict[str, list[dict[str, Any]]]) -> list[str]:
    return [prompt["id"] for prompt in reply["prompts"]]


def test_prompts_are_listed(operations: Operations):
    assert operations("prompts.list") == {"prompts": [{"id": "everything"}], "states": {}}


def test_prompts_are_added_and_replaced_by_their_id(operations: Operations):
    assert ids(operations("prompts.set", prompts=[A_POINT])) == ["everything", "cup"]
    reply = operations("prompts.set", prompts=[{"id": "everything", "box": [1, 2, 3, 4]}, A_BOX])
    assert ids(reply) == ["everything", "cup", "door"]
    assert operations.pipeline.prompts == (
        BoxPrompt("everything", (1, 2, 3, 4)),
        PointPrompt("cup", ((10, 20),), (1,)),
        BoxPrompt("door", (0, 0, 30, 40)),
    )


def test_replace_removes_all_other_prompts(operations: Operations):
    assert ids(operations("prompts.set", prompts=[A_BOX], replace=True)) == ["door"]
    assert ids(operations("prompts.set", prompts=[], replace=True)) == []


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"id": "all", "source": "cam0"}, id="everything"),
        pytest.param({**A_POINT, "index": 3, "follow": False}, id="points"),
        pytest.param({**A_BOX, "source": "cam0", "step": 2}, id="box"),
        pytest.param(A_MASK, id="mask"),
    ],
)
def test_every_kind_of_prompt_is_accepted_and_listed(operations: Operations, given: dict[str, Any]):
    assert operations("prompts.set", prompts=[given], replace=True) == {"prompts": [given]}
    assert operations("prompts.set", prompts=operations("prompts.list")["prompts"]) == {"prompts": [given]}


@pytest.mark.parametrize("given", [A_POINT, A_BOX, A_MASK], ids=["points", "box", "mask"])
def test_prompt_in_force_is_unchanged(operations: Operations, given: dict[str, Any]):
    operations("prompts.set", prompts=[given])
    before = operations.pipeline.prompts
    operations("prompts.set", prompts=[given])
    assert operations.pipeline.prompts is before, "a new tuple would be evaluated again"
    assert operations.num_changes == 1


@pytest.mark.parametrize("given", [A_POINT, A_BOX, A_MASK], ids=["points", "box", "mask"])
def test_step_changes_nothing_else(operations: Operations, given: dict[str, Any]):
    operations("prompts.set", prompts=[given])
    before = operations.pipeline.prompts[-1]
    operations("prompts.step", id=given["id"])
    reply = operations("prompts.step", id=given["id"])
    assert reply["prompts"][-1] == {**given, "step": 2}
    assert operations.pipeline.prompts[-1] == replace(before, step=2)
    operations("prompts.set", prompts=[{**given, "step": 5}])
    assert operations.pipeline.prompts[-1] == replace(before, step=5)
    assert operations.num_changes == 4


def test_prompt_of_one_source_is_checked_against_its_image_only():
    operations = Operations((48, 64), (48, 128))
    far = {"id": "far", "points": [[100, 10]]}
    with pytest.raises(DataError, match=r"point \[100, 10\] lies outside the .* of 64x48"):
        operations("prompts.set", prompts=[{**far, "source": "cam0"}])
    assert ids(operations("prompts.set", prompts=[{**far, "source": "cam1"}])) == ["everything", "far"]


def test_mask_of_another_size_is_rejected():
    operations = Operations((96, 128))
    with pytest.raises(DataError, match=r"its mask has the size \[48, 64\], but the image \[96, 128\]"):
        operations("prompts.set", prompts=[A_MASK])


def test_prompts_that_cannot_be_saved_are_in_force_with_a_warning(caplog: pytest.LogCaptureFixture):
    pipeline = Pipeline(SquareSegmenter())

    def fail() -> None:
        raise DataError("cannot write prompts.json: no space left on device")

    operations = control_operations(Runtime([ScriptedSource("cam")], pipeline), fail)
    reply = operations["prompts.set"]({"prompts": [A_POINT]})
    assert ids(reply) == ["everything", "cup"], "the reply is that of a success, because they are in force"
    assert [prompt.prompt_id for prompt in pipeline.prompts] == ["everything", "cup"]
    assert reply["warning"] == "cannot write prompts.json: no space left on device"
    assert "no space left" in caplog.text


def test_no_change_is_lost_between_two_threads(operations: Operations):
    def add(start: int) -> None:
        for number in range(start, start + 50):
            operations("prompts.set", prompts=[{"id": str(number)}])

    threads = [threading.Thread(target=add, args=(start,)) for start in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(operations.pipeline.prompts) == 151


def test_prompts_are_cleared(operations: Operations):
    operations("prompts.set", prompts=[A_POINT, A_BOX])
    assert ids(operations("prompts.clear", ids=["everything", "door"])) == ["cup"]
    assert ids(operations("prompts.clear")) == []
    assert ids(operations("prompts.clear")) == []


@pytest.mark.parametrize(
    ("op", "args", "message"),
    [
        pytest.param("prompts.set", {}, 'prompts.set requires "prompts"', id="no-prompts"),
        pytest.param("prompts.set", {"prompts": "cup"}, "list of at most 1024, got str", id="no-list"),
        pytest.param("prompts.set", {"prompts": [{"id": "cup", "points": []}]}, "has no points", id="no-point"),
        pytest.param("prompts.set", {"prompts": [{"id": "cup", "pts": []}]}, "key 'pts'", id="unknown-key"),
        pytest.param("prompts.set", {"prompts": [A_BOX], "replace": 1}, "true or false, got '1'", id="replace-no-bool"),
        pytest.param(
            "prompts.set", {"prompts": [A_BOX], "clear": True}, "unknown argument 'clear'", id="unknown-argument"
        ),
        pytest.param("prompts.set", {"prompts": [A_BOX, A_BOX]}, "occurs twice: 'door'", id="same-id"),
        pytest.param("prompts.set", {"prompts": [{"id": "far", "points": [[900, 2]]}]}, "far", id="outside-the-image"),
        pytest.param(
            "prompts.set",
            {"prompts": [{"id": "far", "box": [70, 0, 80, 9], "source": "cam0"}]},
            "of 64x48",
            id="outside-the-source's-image",
        ),
        pytest.param(
            "prompts.set",
            {"prompts": [{"id": "a", "source": "cam9"}]},
            "prompt 'a' names the unknown source 'cam9'; sources are cam0",
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
        pytest.param("prompts.step", {}, "no prompt 'None'; prompts in force are everything", id="step-without-id"),
        pytest.param(
            "prompts.step", {"id": "cup"}, "no prompt 'cup'; prompts in force are everything", id="step-unknown"
        ),
        pytest.param("prompts.step", {"id": "everything"}, "no candidates to step through", id="step-of-everything"),
        pytest.param("prompts.step", {"id": ["a"]}, "no prompt", id="step-no-name"),
        pytest.param("prompts.step", {"id": "a", "by": 2}, "unknown argument 'by'; valid ones are id", id="step-by"),
        pytest.param("step", {}, "not paused", id="step-without-pause"),
        pytest.param("step", {"frames": 2}, "unknown argument 'frames'", id="step-frames"),
        pytest.param(
            "prompts.clear", {"ids": ["cup"]}, "no prompt 'cup'; prompts in force are everything", id="clear-unknown"
        ),
        pytest.param("prompts.clear", {"ids": "everything"}, "list of prompt ids", id="clear-no-list"),
        pytest.param("prompts.clear", {"ids": [["a"]]}, "no prompt", id="clear-no-names"),
        pytest.param("status", {"verbose": True}, "unknown argument 'verbose'; valid ones are none", id="status"),
        pytest.param("pause", {"seconds": 3}, "unknown argument 'seconds'", id="pause"),
    ],
)
def test_invalid_calls_are_rejected_without_effect(operations: Operations, op: str, args: dict[str, Any], message: str):
    with pytest.raises(StreamsegError) as caught:
        operations(op, **args)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert operations.num_changes == 0
    assert operations.pipeline.prompts == (EverythingPrompt(),)
    assert not operations.runtime.stats().is_paused


def test_prompt_must_lie_in_the_image_of_some_source():
    far = {"id": "far", "points": [[100, 10]]}
    assert ids(Operations((48, 64), (48, 128))("prompts.set", prompts=[far])) == ["everything", "far"]
    assert ids(Operations()("prompts.set", prompts=[far])) == ["everything", "far"], "no image has been processed yet"


def test_number_of_prompts_is_limited():
    operations = Operations()
    many = [{"id": str(number)} for number in range(1024)]
    operations("prompts.set", prompts=many, replace=True)
    with pytest.raises(DataError, match="at most 1024 prompts"):
        operations("prompts.set", prompts=[A_BOX])
    assert len(operations.pipeline.prompts) == 1024


@pytest.mark.slow
def test_size_of_prompts_is_limited():
    operations = Operations()
    heavy = {"points": [[0.123456789012345, 0.123456789012345]] * 1024}
    first, second = ([{"id": f"{name}{n}", **heavy} for n in range(30)] for name in "ab")
    operations("prompts.set", prompts=first, replace=True)
    with pytest.raises(DataError, match="2097152 bytes as JSON"):
        operations("prompts.set", prompts=second)
    assert len(operations.pipeline.prompts) == 30


def test_prompt_that_does_not_follow_has_no_candidates(operations: Operations):
    operations("prompts.set", prompts=[{**A_POINT, "follow": False}])
    with pytest.raises(DataError, match="no candidates to step through"):
        operations("prompts.step", id="cup")


def test_pause_and_resume(operations: Operations):
    assert operations("pause") == {"paused": True}
    assert operations("status")["is_paused"] is True
    assert operations("resume") == {"paused": False}
    assert operations("status")["is_paused"] is False


def test_step_while_paused(operations: Operations):
    operations("pause")
    assert operations("step") == {"paused": True}
    assert operations("status")["is_paused"] is True


def test_status_includes_stats_and_prompts(operations: Operations):
    status = operations("status")
    assert status["prompts"] == [{"id": "everything"}]
    assert status["sources"][0]["source_id"] == "cam0"
    assert status["sources"][0]["state"] == "connecting"
    assert status["ages"]["p95_ms"] is None


def test_prompts_change_through_the_channel_during_a_run():
    sink = ListSink()
    source = ScriptedSource("cam", is_live=True, paced_seconds=0.002)
    runtime = Runtime([source], Pipeline(SquareSegmenter()), [sink])

    def steer(_: object) -> None:
        sink.wait_for(1)
        with ControlClient(server.endpoint) as client:
            client.call("prompts.set", {"prompts": [{"id": "left", "points": [[1, 1]]}], "replace": True})
            with pytest.raises(DataError, match="far"):
                client.call("prompts.set", {"prompts": [{"id": "far", "points": [[900, 2]]}]})
            sink.wait_for(len(sink.results) + 3)  # one may have been in progress, and another had the old prompts
            assert client.call("status")["num_frames"] > 0
        runtime.stop()

    with ControlServer("tcp://127.0.0.1:0", control_operations(runtime)) as server:
        runtime.run(steer, interval_seconds=0.1)
    selected = [[selection.prompt_id for selection in result.selections] for result in sink.results]
    assert selected[0] == ["everything"]
    assert selected[-1] == ["left"]


def test_stepping_through_frames_reports_prompt_states():
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
    assert status.keys() == {"id", "state", "confidence", "mask_quality", "mask_source", "track_id"}
    assert status["id"] == "square"
    assert states[1] == {"cam": []}


def test_a_thousand_prompts_pass_through_the_channel():
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
