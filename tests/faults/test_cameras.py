"""Faults of cameras and their networks, with GStreamer's RTSP server on loopback; measured by scripts/faults.

The limits are those of docs/faults.md plus `MARGIN_SECONDS`, because the suite shares its machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import scenarios
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.support.rtsp_server import why_no_server

MARGIN_SECONDS = 3.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_no_server() is not None, reason=why_no_server() or ""),
    pytest.mark.usefixtures("no_password_in_the_log"),
]


@pytest.fixture
def no_password_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The password of every camera appears nowhere."""
    yield
    assert "open-sesame" not in caplog.text


@pytest.mark.parametrize("scenario", [pytest.param(one, id=one.name) for one in SCENARIOS])
def test_fault(scenario: Scenario):
    outcome = scenario.run()
    assert outcome.seconds <= scenario.promise_seconds + MARGIN_SECONDS, outcome
    assert set(scenario.states) <= set(outcome.states), outcome
    assert not set(scenario.never) & set(outcome.states), outcome


def test_every_promise_has_a_row_in_the_document():
    text = scenarios.DOCUMENT.read_text()
    for scenario in SCENARIOS:
        assert f"| {scenario.name} |" in text
