"""Guides: boxes, or nothing."""

import numpy as np
import pytest

from streamseg.structures.search_regions import NO_REGIONS, SearchRegions


def test_nothing_is_known():
    assert NO_REGIONS.prompted.shape == NO_REGIONS.expected.shape == (0, 4)


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param(np.zeros(4), id="one-box-without-a-row"),
        pytest.param(np.zeros((2, 3)), id="three-numbers"),
        pytest.param(np.array([[0, 0, np.nan, 1]]), id="not-a-number"),
        pytest.param(np.array([[0, 0, np.inf, 1]]), id="endless"),
    ],
)
@pytest.mark.parametrize("name", ["prompted", "expected"])
def test_what_is_no_box(name, boxes):
    with pytest.raises(ValueError, match=rf"{name} must be finite boxes of shape \(N, 4\)"):
        SearchRegions(**{name: boxes})
