"""Which share of a mask lies on another."""

from __future__ import annotations

import pytest

from streamseg.prompting.history import record_frame
from streamseg.prompting.parts import shares_inside
from tests.support.shapes import Shape
from tests.support.tracked_shapes import frame_of


def test_shares_of_masks():
    whole, part = Shape(100, 120, 100, 100, "rectangle"), Shape(100, 120, 40, 40, "rectangle")
    over, beside = Shape(150, 120, 40, 40, "rectangle"), Shape(250, 120, 40, 40, "rectangle")
    ring = Shape(100, 120, 90, 90, "ring")
    record = record_frame(frame_of([(1, whole), (2, part), (3, over), (4, beside), (5, ring)]), 0, 0.0)
    shares = shares_inside(record, [1, 2, 3, 1, 0], [0, 0, 0, 4, 1])
    assert shares == pytest.approx([1, 0.5, 0, 0, 0.16], abs=0.09)
    assert shares_inside(record, [], []).shape == (0,)
