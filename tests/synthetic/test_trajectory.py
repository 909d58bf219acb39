import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.synthetic.trajectory import sample_trajectory


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), grounded=st.booleans())
def test_trajectory_is_inside_the_image_once(seed, grounded):
    """The object is outside at both ends, and its centre is inside for one interval only: one identity."""
    height, width = 360, 640
    trajectory = sample_trajectory(
        np.random.default_rng(seed), sprite=0, sprite_size=(120, 90), grounded=grounded, image_size=(height, width)
    )
    steps = np.linspace(0, 1, 400, endpoint=False)
    centres = np.array([trajectory.centre(float(step)) for step in steps])
    side, length = (centres[:, 0], width) if trajectory.horizontal else (centres[:, 1], height)
    near = (side > -trajectory.reach_px + 1e-9) & (side < length + trajectory.reach_px - 1e-9)
    assert np.count_nonzero(np.diff(near.astype(int)) == 1) <= 1
    assert not near[0]
    corners = np.array([[0, 0, 1], [89, 0, 1], [0, 119, 1], [89, 119, 1]]).T
    for end in (0.0, 1.0):
        xy = trajectory.matrix(end, (120, 90)) @ corners
        inside = (xy[0] >= 0) & (xy[0] < width) & (xy[1] >= 0) & (xy[1] < height)
        assert not inside.any()
    across = (centres[:, 1] / height) if trajectory.horizontal else (centres[:, 0] / width)
    assert across.min() > 0
    assert across.max() < 1
