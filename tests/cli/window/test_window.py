"""Window of `streamseg run --show`: drawing, keys, and clicks in a run."""

from __future__ import annotations

import pytest

from streamseg.cli.window.screen import Event
from streamseg.cli.window.window import LatestResults, Window
from streamseg.pipeline import Pipeline
from streamseg.runtime import Runtime
from streamseg.runtime.operations import control_operations
from streamseg.runtime.stats import RunStats
from tests.support.stages import ScriptedSource, SquareSegmenter
from tests.support.windows import STATS, TITLE, ListScreen, Stage, bound, result


@pytest.fixture
def stage() -> Stage:
    return Stage()


# ---- newest results


def test_newest_result_of_each_source_is_kept():
    latest = LatestResults()
    assert latest.snapshot() == {}
    for index in (1, 2):
        latest.write(result(index))
    latest.write(result(7, source_id="b"))
    indices = {source_id: newest.frame.index for source_id, newest in latest.snapshot().items()}
    assert indices == {"cam": 2, "b": 7}


def test_snapshot_does_not_change():
    latest = LatestResults()
    latest.write(result(1))
    before = latest.snapshot()
    latest.write(result(2))
    assert before["cam"].frame.index == 1


def test_last_result_stays_after_close():
    latest = LatestResults()
    latest.write(result(1))
    latest.close()
    assert latest.snapshot()["cam"].frame.index == 1


# ---- drawing


def test_newest_frame_is_drawn_once(stage: Stage):
    stage.now = 100.0  # after the first hint
    for index in (1, 2, 3):
        stage.window.latest.write(result(index))
    for _ in range(3):
        stage.update()
    assert len(stage.images) == 1
    assert (stage.images[0][-1, -1] == 3).all(), "the newest frame"
    stage.show(4)
    assert len(stage.images) == 2


def test_prompted_objects_are_emphasised(stage: Stage):
    stage.now = 100.0
    stage.show(0)
    plain = stage.images[-1]
    assert (plain[60, 60] != 0).any()
    stage.show(0, prompts=[bound()])
    emphasised = stage.images[-1]
    white = (emphasised == 255).all(axis=2)
    assert white[38:83, 38:83].sum() > 20
    assert not (plain == 255).all(axis=2)[75:, :].any()


def test_each_source_has_a_window(stage: Stage):
    stage.window.latest.write(result(0))
    stage.window.latest.write(result(0, source_id="b"))
    stage.update()
    assert set(stage.screen.shown) == {TITLE, "streamseg: b"}


def test_help_is_toggled_by_a_key(stage: Stage):
    stage.now = 100.0
    stage.show(0)
    stage.screen.press("?")
    stage.update()
    stage.screen.press("?")
    stage.update()
    first, helped, last = stage.images
    assert (helped != first).any()
    assert (last == first).all()


def test_first_hint_disappears(stage: Stage):
    stage.show(0)
    stage.now = 100.0
    stage.update()
    assert (stage.images[0] != stage.images[1]).any()


# ---- keys


def test_space_pauses_and_resumes(stage: Stage):
    stage.show(0)
    stage.screen.press(" ")
    stage.update()
    stage.screen.press(" ")
    stage.update(is_paused=True)
    assert [call[0] for call in stage.operations.calls] == ["pause", "resume"]


@pytest.mark.parametrize(
    ("is_paused", "calls"),
    [pytest.param(False, ["pause", "step"], id="running"), pytest.param(True, ["step"], id="paused")],
)
def test_step_pauses_and_processes_one_frame(stage: Stage, is_paused, calls):
    stage.show(0)
    stage.screen.press("s")
    stage.update(is_paused=is_paused)
    assert [call[0] for call in stage.operations.calls] == calls


def test_clear_keeps_the_everything_prompt(stage: Stage):
    stage.operations.prompts.append({"id": "door", "text": "a door"})
    stage.show(0)
    stage.screen.click(60, 50)
    stage.screen.press("c")
    stage.update()
    assert stage.operations.calls[-1] == ("prompts.clear", {"ids": ["door", "click-1"]})
    assert stage.operations.prompts == [{"id": "everything"}]
    stage.screen.press("c")
    stage.update()
    assert len(stage.operations.calls) == 2, "nothing is left to be cleared"


@pytest.mark.parametrize("character", ["q", "Q", "\x1b"])
def test_quit_keys(stage: Stage, character):
    stage.show(0)
    stage.screen.press(character)
    stage.update()
    assert stage.num_stops == 1


def test_closing_the_last_window_ends_the_run(stage: Stage):
    stage.window.latest.write(result(0))
    stage.window.latest.write(result(0, source_id="b"))
    stage.update()
    stage.screen.closed.add(TITLE)
    stage.show(1)
    assert stage.num_stops == 0
    stage.screen.closed.add("streamseg: b")
    stage.update()
    assert stage.num_stops == 1


def test_status_callback_has_its_own_interval(stage: Stage):
    received: list[RunStats] = []
    on_stats = stage.window.beside(received.append, 1.0)
    for tick in range(100):
        stage.now = tick / 30
        stage.window.latest.write(result(tick))
        on_stats(STATS)
    assert len(received) == 3
    assert len(stage.images) == 100


# ---- with a run


class ScriptedScreen(ListScreen):
    """Click on the square once it is shown, and quit once it is emphasised."""

    def poll(self) -> list[Event]:
        images = self.shown.get(TITLE, [])
        if len(images) == 2:
            self.click(int(images[-1][-1, -1, 0]) % 32 + 8, 16)
        elif len(images) == 12:
            self.press("q")
        return super().poll()


def test_click_sets_a_prompt_in_a_run():
    screen = ScriptedScreen()
    pipeline = Pipeline(SquareSegmenter())
    window = Window(screen)
    with Runtime([ScriptedSource("cam", is_live=True, paced_seconds=0.01)], pipeline, [window.latest]) as runtime:
        window.attach(control_operations(runtime), runtime.stop)
        stats = runtime.run(window.beside(lambda stats: None, 1.0), interval_seconds=0.002, duration_seconds=20)
    assert stats.seconds < 20, "q ended the run"
    assert [prompt.prompt_id for prompt in pipeline.prompts] == ["everything", "click-1"]
    shown = window.latest.snapshot()["cam"].message
    assert shown.prompt("click-1") is not None
    window.close()
    assert screen.is_closed
