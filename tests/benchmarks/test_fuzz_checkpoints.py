import pickle
from pathlib import Path

import pytest

from benchmarks.fuzz_checkpoints import MOST_SECONDS, MUTATIONS, Watch, fuzz, reason


@pytest.mark.parametrize("seed", [11, 12])
def test_mutated_checkpoints_are_read_or_refused(seed):
    outcome = fuzz(200, seed=seed)
    assert outcome.num_files == outcome.num_read + sum(outcome.refusals.values()) == 200
    assert outcome.mutations.keys() == MUTATIONS.keys()
    assert len(outcome.refusals) > 20
    assert outcome.events == []
    assert outcome.slowest_seconds < MOST_SECONDS


def test_the_watch_sees_what_is_executed_and_opened(tmp_path):
    own = tmp_path / "own"
    own.write_bytes(b"")
    watch = Watch(own)
    with watch:
        own.read_bytes()
    assert watch.close() == []
    with watch:
        eval("1")
        Path(__file__).read_bytes()
        pickle.loads(b"\x80\x02cposixpath\njoin\n.")
    seen = " ".join(watch.close())
    for event in ("compile", "exec", "open", "pickle.find_class"):
        assert event in seen
    before = len(watch.close())
    eval("2")
    assert len(watch.close()) == before


def test_reasons_leave_out_what_is_particular():
    assert reason("storage '7' is said to have 3 elements; get it again") == "storage is said to have elements"
