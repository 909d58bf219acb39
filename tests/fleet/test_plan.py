"""What each worker holds on the way to a placement."""

from __future__ import annotations

import pytest

from streamseg.fleet.plan import plan


@pytest.mark.parametrize(
    ("placement", "held", "expected"),
    [
        pytest.param({}, {}, {}, id="nothing"),
        pytest.param({"a": "w0"}, {}, {}, id="no-worker-alive"),
        pytest.param({"a": "w0"}, {"w0": [], "w1": []}, {"w0": ("a",), "w1": ()}, id="new-camera"),
        pytest.param({"a": "w1"}, {"w0": ["a"], "w1": []}, {"w0": (), "w1": ()}, id="leaves-first"),
        pytest.param({"a": "w1"}, {"w0": [], "w1": []}, {"w0": (), "w1": ("a",)}, id="then-arrives"),
        pytest.param({"a": "w1"}, {"w1": []}, {"w1": ("a",)}, id="from-a-lost-worker"),
        pytest.param({"a": "w1"}, {"w0": ["a"], "w1": ["a"]}, {"w0": (), "w1": ()}, id="held-twice"),
        pytest.param({}, {"w0": ["a"]}, {"w0": ()}, id="removed"),
        pytest.param({"b": "w0", "a": "w0"}, {"w0": ["a"]}, {"w0": ("b", "a")}, id="order-of-the-placement"),
    ],
)
def test_plan(placement: dict[str, str], held: dict[str, list[str]], expected: dict[str, tuple[str, ...]]):
    assert plan(placement, held) == expected
