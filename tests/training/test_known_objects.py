import numpy as np
import pytest
import torch

from streamseg.training.compose import ComposedImage
from streamseg.training.known_objects import MAX_DRAWN, MAX_FOLLOWED, MIN_SIDE_PX, known_objects
from streamseg.training.seen_image import see
from tests.support.networks import lively_network

SIDE = 96


@pytest.fixture(scope="module")
def network():
    return lively_network(share_above_half=0.3)


def composed_of(boxes):
    """Return noise with a bright rectangle in each box."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 80, (SIDE, SIDE, 3), dtype=np.uint8)
    masks = np.zeros((len(boxes), SIDE, SIDE), dtype=np.uint8)
    for (x0, y0, x1, y1), mask in zip(boxes, masks, strict=True):
        image[y0:y1, x0:x1] = rng.integers(150, 255, 3)
        mask[y0:y1, x0:x1] = 255
    everywhere = np.full((SIDE, SIDE), 255, dtype=np.uint8)
    return ComposedImage(image, np.array(boxes, dtype=np.float32).reshape(-1, 4), masks, everywhere)


def found(network, boxes, seed=0, imgsz=SIDE):
    composed = composed_of(boxes)
    with torch.inference_mode():
        return known_objects(network, see(network, composed, composed.image, imgsz), np.random.default_rng(seed))


def test_objects_are_followed_and_drawn(network):
    boxes = [(8, 8, 40, 44), (50, 20, 90, 60), (20, 60, 60, 92)]
    objects = found(network, boxes)
    assert MAX_DRAWN <= len(objects.boxes) <= MAX_DRAWN + len(boxes)
    assert objects.mask_logits.shape == (len(objects.boxes), SIDE // 4, SIDE // 4)
    assert set(objects.targets.tolist()) <= {0, 1, 2}
    drawn = objects.boxes[-MAX_DRAWN:]
    exact = torch.tensor(boxes, dtype=torch.float32)[objects.targets[-MAX_DRAWN:]]
    assert ((drawn - exact).abs() < 0.4 * 40).all()
    assert not torch.equal(drawn, exact)


def test_followed_objects_are_near_their_targets(network):
    """The features of a random network show colours: bright rectangles on dark noise are found again."""
    boxes = [(8, 8, 48, 52)]
    near = []
    for seed in range(4):
        objects = found(network, boxes, seed)
        followed = objects.boxes[:-1]  # the last one is drawn
        near += (followed - torch.tensor(boxes)).abs().amax(dim=1).tolist()
    assert len(near) >= 3
    assert max(near) < 32


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param([], id="no objects"),
        pytest.param([(10, 10, 10 + int(MIN_SIDE_PX) - 1, 50)], id="thinner than a few cells"),
    ],
)
def test_no_objects(boxes, network):
    objects = found(network, boxes)
    assert objects.boxes.shape == (0, 4)
    assert objects.mask_logits.shape == (0, SIDE // 4, SIDE // 4)
    assert objects.targets.shape == (0,)


def test_numbers_are_limited(network):
    boxes = [(x, y, x + 14, y + 14) for x in range(0, 80, 20) for y in range(0, 80, 20)]
    assert len(found(network, boxes).boxes) <= MAX_FOLLOWED + MAX_DRAWN


def test_objects_depend_on_the_seed_alone(network):
    first, second, other = (found(network, [(8, 8, 48, 52)], seed) for seed in (1, 1, 2))
    assert torch.equal(first.boxes, second.boxes)
    assert torch.equal(first.mask_logits, second.mask_logits)
    assert not torch.equal(first.boxes[-1], other.boxes[-1])
