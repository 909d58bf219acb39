"""Search regions are finite boxes."""

import numpy as np
import pytest

from streamseg.structures.search_regions import NO_REGIONS, SearchRegions


def test_no_regions_are_empty():
    assert NO_REGIONS.prompted.shape == NO_REGIONS.expected.shape == (0, 4)


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param(np.zeros(4), id="one-dimensional"),
        pytest.param(np.zeros((2, 3)), id="three-numbers"),
        pytest.param(np.array([[0, 0, np.nan, 1]]), id="nan"),
        pytest.param(np.array([[0, 0, np.inf, 1]]), id="infinite"),
    ],
)
@pytest.mark.parametrize("name", ["prompted", "expected"])
def test_invalid_boxes_are_rejected(name, boxes):
    with pytest.raises(ValueError, match=rf"{name} must be finite boxes of shape \(N, 4\)"):
        SearchRegions(**{name: boxes})


@pytest.mark.parametrize("points", [np.zeros(2), np.zeros((2, 4)), np.array([[0, np.nan]]), np.array([[np.inf, 0]])])
def test_invalid_points_are_rejected(points):
    with pytest.raises(ValueError, match=r"points must be finite points of shape \(N, 2\)"):
        SearchRegions(points=points)
