import pytest

from streamseg.capture.reconnect import Backoff


def test_delays_double_up_to_ten_seconds():
    backoff = Backoff()
    assert [backoff.failed(now) for now in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(
    ("lasted_seconds", "delay_seconds"),
    [
        pytest.param(0.0, 4.0, id="accepted and lost at once: go on doubling"),
        pytest.param(4.9, 4.0, id="not stable"),
        pytest.param(5.0, 0.5, id="stable: start again"),
        pytest.param(3600.0, 0.5, id="long: start again"),
    ],
)
def test_a_connection_that_lasted_starts_the_row_again(lasted_seconds, delay_seconds):
    backoff = Backoff()
    for now in (0, 1, 2):
        backoff.failed(now)
    backoff.connected(10.0)
    backoff.connected(10.0 + lasted_seconds / 2)  # every packet says so; the first one counts
    assert backoff.failed(10.0 + lasted_seconds) == delay_seconds


def test_each_connection_counts_for_itself():
    backoff = Backoff()
    backoff.connected(0.0)
    assert backoff.failed(1.0) == 0.5
    backoff.connected(100.0)
    assert backoff.failed(101.0) == 1.0
