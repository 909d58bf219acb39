"""The sink from which windows take what they show."""

from streamseg.cli.window.latest import LatestResults
from tests.support.windows import result


def test_the_newest_of_each_source_is_kept():
    latest = LatestResults()
    assert latest.snapshot() == {}
    for index in (1, 2):
        latest.write(result(index))
    latest.write(result(7, source_id="b"))
    indices = {source_id: newest.frame.index for source_id, newest in latest.snapshot().items()}
    assert indices == {"cam": 2, "b": 7}


def test_a_snapshot_stays_what_it_was():
    latest = LatestResults()
    latest.write(result(1))
    before = latest.snapshot()
    latest.write(result(2))
    assert before["cam"].frame.index == 1


def test_the_last_picture_may_be_looked_at_after_the_end():
    latest = LatestResults()
    latest.write(result(1))
    latest.close()
    assert latest.snapshot()["cam"].frame.index == 1
