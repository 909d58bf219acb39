"""Prompts set by clicks and boxes in the windows of `streamseg run --show`."""

from __future__ import annotations

import pytest

from streamseg.cli.window.screen import Key, Pointer
from streamseg.structures.message import PromptStatus
from tests.support.windows import TITLE, Stage, bound, result


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_click_is_a_point_prompt_on_the_shown_frame(stage: Stage):
    stage.show(7)
    stage.screen.click(60, 50)
    stage.window.latest.write(result(8))  # newer than the click, and not shown yet
    stage.update()
    prompt = {"id": "click-1", "source": "cam", "index": 7, "points": [[60.5, 50.5]], "labels": [1]}
    assert stage.operations.calls == [("prompts.set", {"prompts": [prompt]})]


def test_drag_is_a_box_on_a_frozen_frame(stage: Stage):
    stage.now = 100.0
    stage.show(7)
    stage.screen.events += [Pointer(TITLE, "press", 10, 20), Pointer(TITLE, "move", 70, 80)]
    stage.show(8)
    assert (stage.images[-1][20, 10:70] == 255).all(), "the box is drawn"
    assert (stage.images[-1][-1, -1] == 7).all(), "and the frame stands still"
    stage.screen.events.append(Pointer(TITLE, "release", 90, 80))
    stage.update()
    prompt = {"id": "click-1", "source": "cam", "index": 7, "box": [10.0, 20.0, 91.0, 81.0]}
    assert stage.operations.calls == [("prompts.set", {"prompts": [prompt]})]
    assert (stage.images[-1][-1, -1] == 8).all()


def test_background_point_is_added_to_the_last_point_prompt(stage: Stage):
    stage.show(7)
    for x in (20, 60):
        stage.screen.click(x, 50)
        stage.update()
    stage.screen.events += [Pointer(TITLE, "press", 5, 5), Pointer(TITLE, "release", 90, 90)]
    stage.screen.click(70, 70, is_background=True)
    stage.update()
    name, args = stage.operations.calls[-1]
    points, labels = [[60.5, 50.5], [70.5, 70.5]], [1, 0]
    prompt = {"id": "click-2", "source": "cam", "index": 7, "points": points, "labels": labels}
    assert (name, args) == ("prompts.set", {"prompts": [prompt]})


def test_earlier_points_move_with_the_object(stage: Stage):
    stage.show(7, box=(40, 40, 80, 80))
    stage.screen.click(50, 60)
    stage.update()
    stage.show(9, box=(60, 40, 100, 80), prompts=[bound()])
    stage.screen.click(95, 70, is_background=True)
    stage.update()
    (prompt,) = stage.operations.calls[-1][1]["prompts"]
    assert prompt["index"] == 9
    assert prompt["points"] == [pytest.approx([70.5, 60.5]), [95.5, 70.5]]


@pytest.mark.parametrize(
    ("clicks", "name"),
    [
        pytest.param([(70, 60)], "prompts.step", id="same-spot"),
        pytest.param([(71, 59)], "prompts.step", id="near-the-spot"),
        pytest.param([(50, 60)], "prompts.set", id="former-spot"),
        pytest.param([(70, 60), (70, 60)], "prompts.step", id="twice"),
    ],
)
def test_click_on_the_same_spot_of_an_object_steps_to_the_next_candidate(stage: Stage, clicks, name):
    stage.show(7, box=(40, 40, 80, 80))
    stage.screen.click(50, 60)
    stage.update()
    stage.show(9, box=(60, 40, 100, 80), prompts=[bound()])
    for x, y in clicks:
        stage.screen.click(x, y)
        stage.update()
    assert [call[0] for call in stage.operations.calls] == ["prompts.set"] + [name] * len(clicks)
    if name == "prompts.step":
        assert stage.operations.calls[-1][1] == {"id": "click-1"}


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(
            [Pointer("streamseg: other", "press", 5, 5), Pointer("streamseg: other", "release", 5, 5)], id="b"
        ),
        pytest.param([Pointer(TITLE, "press", 500, 5), Pointer(TITLE, "release", 500, 5)], id="outside"),
        pytest.param([Pointer(TITLE, "press", 5, 5, True), Pointer(TITLE, "release", 5, 5, True)], id="background"),
        pytest.param([Key("x"), Key("\t")], id="other-keys"),
    ],
)
def test_meaningless_input_is_ignored(stage: Stage, events):
    stage.show(0)
    stage.screen.events += events
    stage.update()
    assert stage.operations.calls == []


def test_rejected_operation_is_shown_as_a_notice(stage: Stage):
    stage.now = 100.0
    stage.show(0)
    stage.operations.rejection = "there may be 256 prompts at a time"
    stage.screen.click(60, 50)
    stage.update()
    assert (stage.images[-1] != stage.images[0]).any()
    stage.now = 200.0
    stage.update()
    assert (stage.images[-1] == stage.images[0]).all(), "a rejected prompt leaves no mark"


def test_point_is_marked_until_a_frame_reports_its_prompt(stage: Stage):
    stage.now = 100.0
    stage.show(0, box=(100, 100, 110, 110))
    stage.screen.click(30, 60)
    stage.update()
    assert (stage.images[-1][60, 30] > 240).all()
    stage.show(1, box=(100, 100, 110, 110), prompts=[PromptStatus("click-1", "none")])
    assert (stage.images[-1][60, 30] < 240).all()


def test_prompt_cleared_by_another_client_is_forgotten(stage: Stage):
    stage.show(7)
    stage.screen.click(60, 50)
    stage.update()
    stage.show(8, prompts=[bound()])
    stage.show(9)
    stage.screen.click(60, 50)
    stage.update()
    assert [call[0] for call in stage.operations.calls] == ["prompts.set", "prompts.set"]
    assert stage.operations.calls[-1][1]["prompts"][0]["id"] == "click-2"


def test_ids_of_other_clients_are_not_reused(stage: Stage):
    stage.operations.prompts.append({"id": "click-1", "points": [[1, 1]], "labels": [1]})
    stage.show(7)
    stage.screen.click(60, 50)
    stage.update()
    assert stage.operations.calls[-1][1]["prompts"][0]["id"] == "click-2"
