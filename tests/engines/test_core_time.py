import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.engines.core_time import CoreTime, core_time, waiting_share


@pytest.mark.parametrize(
    ("before", "after", "num_threads", "expected"),
    [
        pytest.param(CoreTime(1, 1), CoreTime(3, 3), 1, 0.0, id="one thread that always has a core"),
        pytest.param(CoreTime(1, 1), CoreTime(3, 5), 2, 0.0, id="two threads that always have cores"),
        pytest.param(CoreTime(0, 0), CoreTime(2, 0.5), 1, 0.75, id="a host that gives its cores to others"),
        pytest.param(CoreTime(0, 0, {1: 5}), CoreTime(2, 2.0, {1: 5, 2: 1}), 2, 0.25, id="one of two threads waits"),
        pytest.param(CoreTime(0, 0, {1: 5}), CoreTime(2, 3.0, {2: 1}), 1, 0.5, id="a thread that has ended"),
        pytest.param(CoreTime(0, 0), CoreTime(1, 0.5, {1: 9}), 1, 1.0, id="more threads wait than compute"),
        pytest.param(CoreTime(1, 1), CoreTime(1, 1), 1, 0.0, id="no time has passed"),
    ],
)
def test_share_is_the_greater_of_the_two_signs(before, after, num_threads, expected):
    assert waiting_share(before, after, num_threads) == pytest.approx(expected)


@given(st.floats(0, 100), st.floats(0, 400), st.dictionaries(st.integers(1, 9), st.floats(0, 100)), st.integers(1, 64))
def test_share_is_always_a_share(elapsed, cpu, waits, num_threads):
    assert 0 <= waiting_share(CoreTime(0, 0), CoreTime(elapsed, cpu, waits), num_threads) <= 1


def test_waits_of_all_threads_are_read(tmp_path):
    for thread, text in {"7": "12 1500000000 3\n", "8": "0 0 0\n", "9": "", "10": "not counted\n"}.items():
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(text)
    assert core_time(tmp_path).waits == {7: 1.5, 8: 0.0}


def test_system_that_counts_no_waits_has_none(tmp_path):
    assert core_time(tmp_path / "absent").waits == {}


def test_clocks_of_this_process_advance():
    before = core_time()
    end = time.process_time() + 0.01
    while time.process_time() < end:
        pass
    after = core_time()
    assert after.elapsed > before.elapsed
    assert after.cpu - before.cpu >= 0.01
    assert set(after.waits) <= {thread.native_id for thread in threading.enumerate()} | set(before.waits)
