"""The bytes of the network input, compared with the reference: see golden/reference/README.md."""

import pytest

from tests.golden.reference import scripted
from tests.support.fidelity import OFFICIAL, PRESENT, golden, letterbox_difference

TOLERANCE = 0
"""Largest allowed difference in grey levels."""


@pytest.mark.parametrize("version", [OFFICIAL, PRESENT])
@pytest.mark.parametrize("shape", ["auto", "square"])
@pytest.mark.parametrize("name", scripted.LETTERBOXES)
def test_bytes_equal_the_reference(name, shape, version):
    difference = letterbox_difference(name, shape, version)
    if difference is None:
        pytest.fail(f"the reference raised {golden('letterbox', version)[f'{name}/{shape}/raises']}")
    assert difference.same_size
    assert difference.largest <= TOLERANCE
    assert difference.same_bytes
