"""Faults of cameras and their networks, with GStreamer's RTSP server on loopback; measured by scripts/faults.

Times may exceed those of docs/faults.md by `MARGIN_SECONDS`, because the suite shares its machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import images, neighbours, scenarios
from tests.faults.rows import Scenario
from tests.support.rtsp_server import why_no_server

MARGIN_SECONDS = 3.0
MARGINS = {"s": MARGIN_SECONDS, "ms": 0.0, "damaged images": 0.0, "results": 0.0}
"""Margins by the unit of the promise."""
SCENARIOS = (*scenarios.SCENARIOS, *images.SCENARIOS, *neighbours.SCENARIOS)

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


@pytest.mark.parametrize("scenario", [pytest.param(one, id=one.name) for one in SCENARIOS if not one.is_long])
def test_fault(scenario: Scenario):
    outcome = scenario.play(1)
    assert outcome.value <= scenario.promise + MARGINS[scenario.unit], outcome
    assert scenario.violations(outcome) == "", outcome
