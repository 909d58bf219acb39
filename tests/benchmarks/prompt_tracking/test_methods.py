import pytest

from benchmarks.prompt_tracking.absences import _tracked
from benchmarks.prompt_tracking.methods import TrackedPrompts, TrackIdOnly
from benchmarks.prompt_tracking.scenes import FPS
from tests.support.prompt_sequences import cup_and_kite


@pytest.mark.parametrize("make", [TrackIdOnly, TrackedPrompts])
def test_methods_select_the_clicked_row(make):
    method = make()
    for index, tracked in enumerate(_tracked(cup_and_kite("cccccc"))):
        clicked = {"1": 0} if index == 3 else {}
        selected = method.select(tracked, clicked, index, index / FPS)
    assert selected == {"1": 0}
