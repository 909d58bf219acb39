"""Extents of masks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from streamseg.propagation.extent import extents


@given(arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.booleans()))
def test_extents_are_those_of_the_cells(masks):
    found = extents(masks)
    for mask, area, centre, box in zip(masks, *found, strict=True):
        rows, columns = np.nonzero(mask)
        assert area == len(rows)
        if len(rows):
            np.testing.assert_allclose(centre, [columns.mean() + 0.5, rows.mean() + 0.5])
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        else:
            assert centre.tolist() == [0, 0]
