import pytest

from benchmarks.prompt_tracking.absences import _tracked
from benchmarks.prompt_tracking.methods import Following, TrackOnly
from benchmarks.prompt_tracking.scenes import FPS
from tests.support.prompt_sequences import film


@pytest.mark.parametrize("make", [TrackOnly, Following])
def test_followers_answer_with_rows(make):
    tracker = make()
    for index, tracked in enumerate(_tracked(film("cccccc"))):
        asked = {"1": 0} if index == 3 else {}
        answers = tracker.answers(tracked, asked, index, index / FPS)
    assert answers == {"1": 0}
