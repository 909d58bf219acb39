"""The window of `streamseg run --show`, on a screen that keeps what it is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from messages import make_message, make_object
from stages import ScriptedSource, SquareSegmenter, fresh_frame, make_instances

from streamseg.cli.screen import Event, Key, Pointer
from streamseg.cli.window import Window
from streamseg.errors import DataError
from streamseg.pipeline import Pipeline, Result
from streamseg.runtime import Runtime
from streamseg.runtime.control import control_operations
from streamseg.runtime.figures import Ages, RunFigures
from streamseg.structures.instances import Tracked
from streamseg.structures.message import PromptStatus

SIZE = (120, 160)
TITLE = "streamseg: cam"


class ListScreen:
    """Keeps the pictures, and hands out the events that a test puts in."""

    def __init__(self) -> None:
        self.shown: dict[str, list[np.ndarray]] = {}
        self.events: list[Event] = []
        self.closed: set[str] = set()
        self.is_over = False

    def show(self, window: str, picture: np.ndarray) -> None:
        assert window not in self.closed, "a closed window came back"
        self.shown.setdefault(window, []).append(picture)

    def poll(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def is_open(self, window: str) -> bool:
        return window in self.shown and window not in self.closed

    def close(self) -> None:
        self.is_over = True

    def click(self, x: int, y: int, *, window: str = TITLE, is_background: bool = False) -> None:
        self.events += [Pointer(window, kind, x, y, is_background) for kind in ("press", "release")]

    def press(self, *characters: str) -> None:
        self.events += [Key(character) for character in characters]


class Operations(dict[str, Any]):
    """Operations that only note what they were asked, and know the prompts that were set."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.prompts: list[dict[str, Any]] = [{"id": "everything"}]
        self.refusal: str | None = None
        for name in ("prompts.set", "prompts.step", "prompts.clear", "prompts.list", "pause", "resume", "step"):
            self[name] = lambda args, name=name: self._do(name, args)

    def _do(self, name: str, args: dict[str, Any]) -> Any:
        if name != "prompts.list":
            self.calls.append((name, args))
        if self.refusal is not None:
            raise DataError(self.refusal)
        if name == "prompts.set":
            ids = {prompt["id"] for prompt in args["prompts"]}
            self.prompts = [prompt for prompt in self.prompts if prompt["id"] not in ids] + args["prompts"]
        elif name == "prompts.clear":
            self.prompts = [prompt for prompt in self.prompts if prompt["id"] not in args["ids"]]
        return {"prompts": list(self.prompts)}


class Stage:
    """A window with everything around it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.num_stops = 0
        self.screen, self.operations = ListScreen(), Operations()
        self.window = Window(self.screen, clock=lambda: self.now)
        self.window.attach(self.operations, self._stop)

    def _stop(self) -> None:
        self.num_stops += 1

    def update(self, *, is_paused: bool = False) -> None:
        self.window.update(FIGURES if not is_paused else replace(FIGURES, is_paused=True))

    def give(self, index: int, **changes: Any) -> None:
        self.window.latest.write(result(index, **changes))
        self.update()

    @property
    def pictures(self) -> list[np.ndarray]:
        return self.screen.shown.get(TITLE, [])


FIGURES = RunFigures(1.0, 1, 1.0, 1.0, Ages(), 0, {}, {}, False, ())


def result(
    index: int, *, source_id: str = "cam", box: tuple[int, int, int, int] = (40, 40, 80, 80), prompts: Any = ()
) -> Result:
    """A frame with one object, which answers everything and the prompts whose states are given."""
    frame = fresh_frame(source_id, index, size=SIZE)
    x0, y0, x1, y1 = box
    ids = ("everything", *(status.prompt_id for status in prompts if status.state == "bound"))
    found = make_object(np.ones((y1 - y0, x1 - x0), np.bool_), x0, y0, track_id=5, prompt_ids=ids)
    message = make_message(found, size=SIZE, source_id=source_id, frame_index=index, prompts=tuple(prompts))
    tracked = Tracked(make_instances([box], image_size=SIZE), torch.tensor([5]))
    return Result(frame, message, tracked, ())


def bound(prompt_id: str = "click-1") -> PromptStatus:
    return PromptStatus(prompt_id, "bound", 0.9, 5)


@pytest.fixture
def stage() -> Stage:
    return Stage()


# ---- what is shown


def test_only_the_newest_frame_is_drawn_and_only_once(stage: Stage):
    stage.now = 100.0  # after the first hint
    for index in (1, 2, 3):
        stage.window.latest.write(result(index))
    for _ in range(3):
        stage.update()
    assert len(stage.pictures) == 1
    assert (stage.pictures[0][-1, -1] == 3).all(), "the picture is the last one"
    stage.give(4)
    assert len(stage.pictures) == 2


def test_objects_are_drawn_and_those_that_were_meant_stand_out(stage: Stage):
    stage.now = 100.0
    stage.give(0)
    plain = stage.pictures[-1]
    assert (plain[60, 60] != 0).any()
    stage.give(0, prompts=[bound()])
    emphasised = stage.pictures[-1]
    white = (emphasised == 255).all(axis=2)
    assert white[38:83, 38:83].sum() > 20
    assert not (plain == 255).all(axis=2)[75:, :].any()


def test_each_source_has_a_window(stage: Stage):
    stage.window.latest.write(result(0))
    stage.window.latest.write(result(0, source_id="b"))
    stage.update()
    assert set(stage.screen.shown) == {TITLE, "streamseg: b"}


def test_help_is_a_key_away(stage: Stage):
    stage.now = 100.0
    stage.give(0)
    stage.screen.press("?")
    stage.update()
    stage.screen.press("?")
    stage.update()
    first, helped, last = stage.pictures
    assert (helped != first).any()
    assert (last == first).all()


def test_the_first_hint_goes(stage: Stage):
    stage.give(0)
    stage.now = 100.0
    stage.update()
    assert (stage.pictures[0] != stage.pictures[1]).any()


# ---- clicks


def test_a_click_is_a_point_prompt_on_the_frame_that_is_shown(stage: Stage):
    stage.give(7)
    stage.screen.click(60, 50)
    stage.window.latest.write(result(8))  # came after the click, and is not shown yet
    stage.update()
    prompt = {"id": "click-1", "source": "cam", "index": 7, "points": [[60.5, 50.5]], "labels": [1]}
    assert stage.operations.calls == [("prompts.set", {"prompts": [prompt]})]


def test_a_drag_is_a_box_around_what_stands_still(stage: Stage):
    stage.now = 100.0
    stage.give(7)
    stage.screen.events += [Pointer(TITLE, "press", 10, 20), Pointer(TITLE, "move", 70, 80)]
    stage.give(8)
    assert (stage.pictures[-1][20, 10:70] == 255).all(), "the box is drawn"
    assert (stage.pictures[-1][-1, -1] == 7).all(), "and the picture waits"
    stage.screen.events.append(Pointer(TITLE, "release", 90, 80))
    stage.update()
    prompt = {"id": "click-1", "source": "cam", "index": 7, "box": [10.0, 20.0, 91.0, 81.0]}
    assert stage.operations.calls == [("prompts.set", {"prompts": [prompt]})]
    assert (stage.pictures[-1][-1, -1] == 8).all()


def test_a_background_point_belongs_to_the_last_point(stage: Stage):
    stage.give(7)
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
    stage.give(7, box=(40, 40, 80, 80))
    stage.screen.click(50, 60)
    stage.update()
    stage.give(9, box=(60, 40, 100, 80), prompts=[bound()])
    stage.screen.click(95, 70, is_background=True)
    stage.update()
    (prompt,) = stage.operations.calls[-1][1]["prompts"]
    assert prompt["index"] == 9
    assert prompt["points"] == [pytest.approx([70.5, 60.5]), [95.5, 70.5]]


@pytest.mark.parametrize(
    ("clicks", "name"),
    [
        pytest.param([(70, 60)], "prompts.step", id="where-it-is"),
        pytest.param([(71, 59)], "prompts.step", id="nearly-there"),
        pytest.param([(50, 60)], "prompts.set", id="where-it-was"),
        pytest.param([(70, 60), (70, 60)], "prompts.step", id="again-and-again"),
    ],
)
def test_a_click_on_the_same_spot_of_an_object_goes_on_to_the_next(stage: Stage, clicks, name):
    stage.give(7, box=(40, 40, 80, 80))
    stage.screen.click(50, 60)
    stage.update()
    stage.give(9, box=(60, 40, 100, 80), prompts=[bound()])
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
def test_what_means_nothing_asks_nothing(stage: Stage, events):
    stage.give(0)
    stage.screen.events += events
    stage.update()
    assert stage.operations.calls == []


def test_a_refusal_is_written_down_and_the_window_lives(stage: Stage):
    stage.now = 100.0
    stage.give(0)
    stage.operations.refusal = "there may be 256 prompts at a time"
    stage.screen.click(60, 50)
    stage.update()
    assert (stage.pictures[-1] != stage.pictures[0]).any()
    stage.now = 200.0
    stage.update()
    assert (stage.pictures[-1] == stage.pictures[0]).all(), "no mark is left of a prompt that is none"


def test_a_point_is_marked_until_a_frame_answers(stage: Stage):
    stage.now = 100.0
    stage.give(0, box=(100, 100, 110, 110))
    stage.screen.click(30, 60)
    stage.update()
    assert (stage.pictures[-1][60, 30] > 240).all()
    stage.give(1, box=(100, 100, 110, 110), prompts=[PromptStatus("click-1", "none")])
    assert (stage.pictures[-1][60, 30] < 240).all()


def test_a_prompt_that_another_client_cleared_is_forgotten(stage: Stage):
    stage.give(7)
    stage.screen.click(60, 50)
    stage.update()
    stage.give(8, prompts=[bound()])
    stage.give(9)
    stage.screen.click(60, 50)
    stage.update()
    assert [call[0] for call in stage.operations.calls] == ["prompts.set", "prompts.set"]
    assert stage.operations.calls[-1][1]["prompts"][0]["id"] == "click-2"


def test_names_of_others_are_left_to_them(stage: Stage):
    stage.operations.prompts.append({"id": "click-1", "points": [[1, 1]], "labels": [1]})
    stage.give(7)
    stage.screen.click(60, 50)
    stage.update()
    assert stage.operations.calls[-1][1]["prompts"][0]["id"] == "click-2"


# ---- keys


def test_space_pauses_and_goes_on(stage: Stage):
    stage.give(0)
    stage.screen.press(" ")
    stage.update()
    stage.screen.press(" ")
    stage.update(is_paused=True)
    assert [call[0] for call in stage.operations.calls] == ["pause", "resume"]


@pytest.mark.parametrize(
    ("is_paused", "calls"),
    [pytest.param(False, ["pause", "step"], id="running"), pytest.param(True, ["step"], id="paused")],
)
def test_a_step_is_one_frame_of_a_pause(stage: Stage, is_paused, calls):
    stage.give(0)
    stage.screen.press("s")
    stage.update(is_paused=is_paused)
    assert [call[0] for call in stage.operations.calls] == calls


def test_clearing_leaves_everything(stage: Stage):
    stage.operations.prompts.append({"id": "door", "text": "a door"})
    stage.give(0)
    stage.screen.click(60, 50)
    stage.screen.press("c")
    stage.update()
    assert stage.operations.calls[-1] == ("prompts.clear", {"ids": ["door", "click-1"]})
    assert stage.operations.prompts == [{"id": "everything"}]
    stage.screen.press("c")
    stage.update()
    assert len(stage.operations.calls) == 2, "nothing is left to be cleared"


@pytest.mark.parametrize("character", ["q", "Q", "\x1b"])
def test_quitting(stage: Stage, character):
    stage.give(0)
    stage.screen.press(character)
    stage.update()
    assert stage.num_stops == 1


def test_closing_the_last_window_ends_the_run(stage: Stage):
    stage.window.latest.write(result(0))
    stage.window.latest.write(result(0, source_id="b"))
    stage.update()
    stage.screen.closed.add(TITLE)
    stage.give(1)
    assert stage.num_stops == 0
    stage.screen.closed.add("streamseg: b")
    stage.update()
    assert stage.num_stops == 1


def test_what_else_is_called_keeps_its_own_rhythm(stage: Stage):
    told: list[RunFigures] = []
    on_figures = stage.window.beside(told.append, 1.0)
    for tick in range(100):
        stage.now = tick / 30
        stage.window.latest.write(result(tick))
        on_figures(FIGURES)
    assert len(told) == 3
    assert len(stage.pictures) == 100


# ---- with a run


class ScriptedScreen(ListScreen):
    """Clicks on the square once it is shown, and quits once it stands out."""

    def poll(self) -> list[Event]:
        pictures = self.shown.get(TITLE, [])
        if len(pictures) == 2:
            self.click(int(pictures[-1][-1, -1, 0]) % 32 + 8, 16)
        elif len(pictures) == 12:
            self.press("q")
        return super().poll()


def test_a_click_reaches_the_run_and_is_answered():
    screen = ScriptedScreen()
    pipeline = Pipeline(SquareSegmenter())
    window = Window(screen)
    with Runtime([ScriptedSource("cam", is_live=True, paced_seconds=0.01)], pipeline, [window.latest]) as runtime:
        window.attach(control_operations(runtime), runtime.stop)
        figures = runtime.run(window.beside(lambda figures: None, 1.0), interval_seconds=0.002, duration_seconds=20)
    assert figures.seconds < 20, "q ended it"
    assert [prompt.prompt_id for prompt in pipeline.prompts] == ["everything", "click-1"]
    shown = window.latest.snapshot()["cam"].message
    assert shown.prompt("click-1") is not None
    window.close()
    assert screen.is_over
