import json
from typing import Any

import pytest
from stages import ListSink, ScriptedSource, SquareSegmenter
from support import make_frame

from streamseg.errors import DataError
from streamseg.pipeline import Pipeline
from streamseg.publish import ControlClient, ControlServer
from streamseg.runtime import Runtime
from streamseg.runtime.control import control_operations
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt

A_POINT = {"id": "cup", "points": [[10, 20]], "labels": [1]}
A_BOX = {"id": "door", "box": [0, 0, 30, 40]}


class Asked:
    """The operations of a runtime that has seen one picture of each size given."""

    def __init__(self, *sizes: tuple[int, int]) -> None:
        self.pipeline = Pipeline(SquareSegmenter())
        self.pipeline([make_frame(source_id=f"cam{n}", size=size) for n, size in enumerate(sizes)])
        self.runtime = Runtime([ScriptedSource("cam", is_live=True)], self.pipeline)
        self._operations = control_operations(self.runtime)

    def __call__(self, op: str, **args: Any) -> Any:
        return json.loads(json.dumps(self._operations[op](args), allow_nan=False))


@pytest.fixture
def ask() -> Asked:
    return Asked((48, 64))


def ids(answer: dict[str, list[dict[str, Any]]]) -> list[str]:
    return [prompt["id"] for prompt in answer["prompts"]]


def test_prompts_are_listed(ask: Asked):
    assert ask("prompts.list") == {"prompts": [{"id": "everything"}]}


def test_prompts_are_added_and_replaced_by_their_id(ask: Asked):
    assert ids(ask("prompts.set", prompts=[A_POINT])) == ["everything", "cup"]
    answer = ask("prompts.set", prompts=[{"id": "everything", "box": [1, 2, 3, 4]}, A_BOX])
    assert ids(answer) == ["everything", "cup", "door"]
    assert ask.pipeline.prompts == (
        BoxPrompt("everything", (1, 2, 3, 4)),
        PointPrompt("cup", ((10, 20),), (1,)),
        BoxPrompt("door", (0, 0, 30, 40)),
    )


def test_all_prompts_are_replaced_where_asked(ask: Asked):
    assert ids(ask("prompts.set", prompts=[A_BOX], replace=True)) == ["door"]
    assert ids(ask("prompts.set", prompts=[], replace=True)) == []


def test_prompts_are_cleared(ask: Asked):
    ask("prompts.set", prompts=[A_POINT, A_BOX])
    assert ids(ask("prompts.clear", ids=["everything", "door"])) == ["cup"]
    assert ids(ask("prompts.clear")) == []
    assert ids(ask("prompts.clear")) == []


@pytest.mark.parametrize(
    ("op", "args", "message"),
    [
        pytest.param("prompts.set", {}, 'prompts.set needs "prompts"', id="no-prompts"),
        pytest.param("prompts.set", {"prompts": "cup"}, "list of at most", id="no-list"),
        pytest.param("prompts.set", {"prompts": [{"id": "cup", "points": []}]}, "has no points", id="no-point"),
        pytest.param("prompts.set", {"prompts": [{"id": "cup", "pts": []}]}, "no key 'pts'", id="unknown-key"),
        pytest.param("prompts.set", {"prompts": [A_BOX], "replace": 1}, "true or false, got '1'", id="replace-no-bool"),
        pytest.param(
            "prompts.set", {"prompts": [A_BOX], "clear": True}, "unknown argument 'clear'", id="unknown-argument"
        ),
        pytest.param("prompts.set", {"prompts": [A_BOX, A_BOX]}, "these occur twice: door", id="same-id"),
        pytest.param(
            "prompts.set", {"prompts": [{"id": "far", "points": [[900, 2]]}]}, "far", id="outside-the-picture"
        ),
        pytest.param("prompts.clear", {"ids": ["cup"]}, "no prompt 'cup'; there are everything", id="clear-unknown"),
        pytest.param("prompts.clear", {"ids": "everything"}, "list of prompt ids", id="clear-no-list"),
        pytest.param("prompts.clear", {"ids": [["a"]]}, "no prompt", id="clear-no-names"),
        pytest.param("status", {"verbose": True}, "unknown argument 'verbose'; valid ones are none", id="status"),
        pytest.param("pause", {"seconds": 3}, "unknown argument 'seconds'", id="pause"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(ask: Asked, op: str, args: dict[str, Any], message: str):
    with pytest.raises(DataError) as caught:
        ask(op, **args)
    assert message in str(caught.value)
    assert ask.pipeline.prompts == (EverythingPrompt(),)
    assert not ask.runtime.figures().is_paused


def test_a_prompt_must_lie_in_the_picture_of_some_source():
    far = {"id": "far", "points": [[100, 10]]}
    assert ids(Asked((48, 64), (48, 128))("prompts.set", prompts=[far])) == ["everything", "far"]
    assert ids(Asked()("prompts.set", prompts=[far])) == ["everything", "far"], "no picture was seen yet"


def test_there_is_a_limit_to_prompts():
    ask = Asked()
    many = [{"id": str(number)} for number in range(256)]
    ask("prompts.set", prompts=many, replace=True)
    with pytest.raises(DataError, match="256 prompts at a time, these would be 257"):
        ask("prompts.set", prompts=[A_BOX])
    assert len(ask.pipeline.prompts) == 256


def test_pause_and_resume(ask: Asked):
    assert ask("pause") == {"paused": True}
    assert ask("status")["is_paused"] is True
    assert ask("resume") == {"paused": False}
    assert ask("status")["is_paused"] is False


def test_status_tells_figures_and_prompts(ask: Asked):
    status = ask("status")
    assert status["prompts"] == [{"id": "everything"}]
    assert status["sources"][0]["source_id"] == "cam"
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
