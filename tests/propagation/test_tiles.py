"""Tiles near targets, and windows around them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.propagation.tiles import (
    OUTSIDE_SIMILARITY,
    TILE,
    padded_size,
    reach,
    search_tiles,
    windows,
)

SIZE = (20, 40)
"""Not a multiple of the tile: the last row of tiles is cut off."""


@pytest.mark.parametrize(
    ("boxes", "tiles", "owners"),
    [
        pytest.param([], [], [], id="no-target"),
        pytest.param([[1, 1, 2, 2]], [[0, 0]], [0], id="inside-a-tile"),
        pytest.param([[7, 7, 9, 9]], [[0, 0], [0, 1], [1, 0], [1, 1]], [0] * 4, id="on-a-corner"),
        pytest.param([[0, 0, 8, 8]], [[0, 0]], [0], id="edges-touch-no-other-tile"),
        pytest.param([[0, 19, 1, 30]], [[2, 0]], [0], id="beyond-the-border"),
        pytest.param([[0, 20, 1, 30]], [], [], id="outside-below"),
        pytest.param([[-9, 0, -1, 8]], [], [], id="outside-left"),
        pytest.param([[0, 0, 8, 8], [16, 0, 24, 8]], [[0, 0], [0, 2]], [0, 1], id="two-targets"),
        pytest.param([[0, 0, 16, 8], [8, 0, 16, 8]], [[0, 0], [0, 1]], [0, 1], id="shared-tile-goes-to-the-nearest"),
    ],
)
def test_tiles_of_search_regions(boxes, tiles, owners):
    found, of = search_tiles(np.array(boxes, np.float64).reshape(-1, 4), SIZE)
    assert (found.tolist(), of.tolist()) == (tiles, owners)


@given(
    corner=st.tuples(st.floats(-10, 50), st.floats(-10, 30)),
    extent=st.tuples(st.floats(0.1, 30), st.floats(0.1, 30)),
)
def test_every_cell_of_a_region_is_in_a_tile(corner, extent):
    box = np.array([[*corner, corner[0] + extent[0], corner[1] + extent[1]]])
    tiles, _ = search_tiles(box, SIZE)
    covered = np.zeros(SIZE, bool)
    for row, column in (tiles * TILE).tolist():
        covered[row : row + TILE, column : column + TILE] = True
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    x0, y0, x1, y1 = box[0]
    assert covered[(x < x1) & (x + 1 > x0) & (y < y1) & (y + 1 > y0)].all()


@pytest.mark.parametrize(
    ("size", "padded"), [pytest.param((24, 40), (28, 44), id="whole-tiles"), pytest.param(SIZE, (28, 44), id="cut-off")]
)
def test_grids_are_padded_to_whole_tiles_and_by_the_radius(size, padded):
    assert padded_size(size, 2) == padded


@pytest.mark.parametrize(
    ("shift", "first"),
    [
        pytest.param([0, 0], [8, 16], id="in-place"),
        pytest.param([-3, 4], [5, 20], id="displaced"),
        pytest.param([-100, 100], [0, 32], id="kept-inside"),
    ],
)
def test_windows(shift, first):
    found = windows((24 + 4, 40 + 4), np.array([[1, 2]]), np.array([[shift]]), 2)
    assert found.tolist() == [[first]]


def test_only_cells_within_the_radius_are_in_reach():
    side = TILE + 2 * 3
    near = (reach(3) == 0).reshape(TILE, TILE, side, side)
    for row, column in [(0, 0), (2, 7), (TILE - 1, TILE - 1)]:
        expected = np.zeros((side, side), bool)
        expected[row : row + 7, column : column + 7] = True
        assert (near[row, column] == expected).all()
    assert set(np.unique(reach(3)).tolist()) == {OUTSIDE_SIMILARITY, 0.0}
