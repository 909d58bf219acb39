import pytest

from benchmarks.followed.absences import _tracked
from benchmarks.followed.followers import Following, TrackOnly
from benchmarks.followed.scenes import FPS
from tests.support.followed_film import film


@pytest.mark.parametrize("make", [TrackOnly, Following])
def test_followers_answer_with_rows(make):
    follower = make()
    for index, tracked in enumerate(_tracked(film("cccccc"))):
        asked = {"1": 0} if index == 3 else {}
        answers = follower.answers(tracked, asked, index, index / FPS)
    assert answers == {"1": 0}
