"""The order of the measurements, and their shares of the time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gpu.cases import CASES
from benchmarks.gpu.plan import KINDS, MODES, Measurement, planned, share

PLAN = planned(CASES, MODES)
SHARP_MODES = ("graph", "eager", "torch")
NAMES = [one.name for one in PLAN]


def test_the_most_important_case_is_measured_first_and_after_its_check():
    assert NAMES[:8] == [
        *("x1 check", "x1 frames graph", "x1 stages", "x1 live"),
        *("s1 check", "s1 frames graph", "s1 stages", "s1 live"),
    ]
    for case in CASES:
        of_case = [name for name in NAMES if name.startswith(f"{case.name} ")]
        assert of_case[0] == f"{case.name} check"


def test_every_case_has_every_mode_and_kind_once():
    expected = {f"{case.name} {kind}" for case in CASES for kind in KINDS if kind != "frames"}
    expected |= {
        f"{case.name} frames {mode}" for case in CASES for mode in MODES if not case.sharp or mode in SHARP_MODES
    }
    assert set(NAMES) == expected
    assert len(NAMES) == len(expected)


def test_batches_come_after_single_images_and_comparisons_after_graphs():
    assert NAMES[11:14] == ["x1sharp live", "x1 frames tensorrt", "s1 frames tensorrt"]
    first = NAMES.index("x1 frames eager")
    assert not any(kind in name for name in NAMES[first:] for kind in ("check", "stages", "live", "graph"))
    assert all("onnx" in name for name in NAMES[-5:])


@pytest.mark.parametrize(
    ("modes", "kinds", "names"),
    [
        pytest.param(["torch"], ["frames"], ["x1 frames torch", "s1 frames torch"], id="one mode"),
        pytest.param([], ["check", "frames"], ["x1 check", "s1 check"], id="no mode"),
        pytest.param(["graph"], [], [], id="no kind"),
    ],
)
def test_selection(modes, kinds, names):
    assert [one.name for one in planned(CASES[:2], modes, kinds)] == names


def run_through(seconds, used):
    """Return the shares if each measurement uses a part of its share."""
    shares = []
    for number in range(len(PLAN)):
        shares.append(share(PLAN[number:], seconds))
        seconds -= shares[-1] * used
    return shares


@given(st.floats(0, 1000), st.floats(0, 1))
def test_shares_fit_into_the_time(seconds, used):
    shares = run_through(seconds, used)
    assert sum(shares) * used <= seconds + 1e-6
    assert all(one == 0 or one >= planned_one.least_seconds for one, planned_one in zip(shares, PLAN, strict=True))


def test_six_minutes_suffice_for_every_measurement():
    assert min(run_through(330, 1.0)) >= 2


def test_unused_time_is_shared_by_those_that_follow():
    thrifty, whole = run_through(330, 0.1), run_through(330, 1.0)
    assert thrifty[0] == whole[0]
    assert thrifty[-1] > 3 * whole[-1]


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        pytest.param(-1.0, 0.0, id="over"),
        pytest.param(0.0, 0.0, id="none"),
        pytest.param(1.9, 0.0, id="too little"),
        pytest.param(2.0, 2.0, id="just enough"),
        pytest.param(10.0, 5.0, id="half"),
    ],
)
def test_share(left, expected):
    one = Measurement(CASES[0], "stages")
    assert share([one, one], left) == expected
