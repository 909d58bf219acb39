"""A tier that fails is switched off, and says so once."""

import logging

import pytest

from streamseg.tiers.guard import TierGuard


def failing(error: BaseException):
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(
            RuntimeError("CUDA out of memory\nTried to allocate"), "RuntimeError: CUDA out of memory", id="cuda"
        ),
        pytest.param(MemoryError(), "MemoryError", id="no-text"),
        pytest.param(ValueError("x" * 1000), f"ValueError: {'x' * 288}", id="long"),
    ],
)
def test_the_first_error_switches_it_off(error: Exception, text: str, caplog: pytest.LogCaptureFixture):
    guard = TierGuard("quality", "mobile-sam")
    assert guard.call(lambda: 1) == 1
    with caplog.at_level(logging.ERROR, logger="streamseg"):
        assert guard.call(failing(error)) is None
        assert guard.call(failing(error)) is None
    assert guard.call(lambda: 1) is None
    assert not guard.is_working
    assert (guard.report().state, guard.report().error) == ("failed", text)
    assert [record.message for record in caplog.records] == [
        f"quality tier: mobile-sam failed; the run goes on without it: {text}"
    ]


def test_an_interrupt_is_no_failure_of_the_model():
    guard = TierGuard("memory", "edgetam")
    with pytest.raises(KeyboardInterrupt):
        guard.call(failing(KeyboardInterrupt()))
    assert guard.is_working


def test_counts():
    guard = TierGuard("quality", "sam")
    guard.count("improved", 2)
    guard.count("improved")
    guard.count("over_budget", 0)
    assert guard.report().counts == {"improved": 3}
