"""The window of `streamseg run --show`: what is shown, the keys, and a run that is clicked on."""

from __future__ import annotations

import pytest

from streamseg.cli.window.screen import Event
from streamseg.cli.window.window import Window
from streamseg.pipeline import Pipeline
from streamseg.runtime import Runtime
from streamseg.runtime.stats import RunStats
from streamseg.runtime.operations import control_operations
from tests.support.stages import ScriptedSource, SquareSegmenter
from tests.support.windows import FIGURES, TITLE, ListScreen, Stage, bound, result


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
    told: list[RunStats] = []
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
