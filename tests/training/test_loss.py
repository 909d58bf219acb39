import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from streamseg.geometry import box_iou
from streamseg.modeling.decoding import anchors, decode
from streamseg.modeling.network import Predictions
from streamseg.modeling.yolov8 import YoloV8Config, YoloV8Network
from streamseg.training.batches import Batch
from streamseg.training.compose import ComposeSettings, compose
from streamseg.training.loss import MAX_MASKS, SCORE_GAIN, complete_iou, segmentation_loss
from tests.support.images import crop_of, disc, drawn_sample, paint, rectangle

REG_MAX = 16
TINY = YoloV8Config(channels=(8, 8, 16, 16, 16), repeats=(1, 1), prototype_channels=8, num_masks=4)
SMALL = YoloV8Config(channels=(8, 16, 24, 32, 32), repeats=(1, 1), prototype_channels=24)


# ---- complete IoU


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        pytest.param([1, 2, 5, 9], [1, 2, 5, 9], 1.0, id="equal"),
        # IoU 1 / 7; centres 2 apart squared, the hull's diagonal 18 squared.
        pytest.param([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7 - 2 / 18, id="same-shape"),
        pytest.param([0, 0, 1, 1], [3, 0, 4, 1], -9 / 17, id="apart"),
        pytest.param([0, 0, 4, 4], [1, 1, 3, 3], 4 / 16, id="same-centre-and-aspect"),
        # IoU 1 / 3, offset 2 / 32, aspect (4 / pi²)(atan 2 - atan 1/2)² = 0.16783, its weight 0.20111.
        pytest.param([0, 0, 4, 2], [0, 0, 2, 4], 0.237081, id="turned"),
        pytest.param([0, 0, 0, 0], [2, 2, 4, 4], -9 / 16, id="without-extent"),
    ],
)
def test_complete_iou_by_hand(box, other, expected):
    value = complete_iou(torch.tensor([box], dtype=torch.float32), torch.tensor([other], dtype=torch.float32))
    assert value.tolist() == pytest.approx([expected], abs=1e-5)


boxes = st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.floats(0.1, 80), st.floats(0.1, 80)).map(
    lambda box: torch.tensor([[box[0], box[1], box[0] + box[2], box[1] + box[3]]], dtype=torch.float32)
)


@pytest.mark.slow
@settings(deadline=None)
@given(boxes, boxes)
def test_complete_iou_of_any_boxes(box, other):
    value = complete_iou(box, other)
    iou = box_iou(box, other)[0]
    assert torch.allclose(value, complete_iou(other, box), atol=1e-5)
    assert value <= iou + 1e-5
    assert value > -1.5
    assert complete_iou(box, box).item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(complete_iou(box * 3 + 7, other * 3 + 7), value, atol=1e-3)


def test_complete_iou_of_no_boxes():
    assert complete_iou(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)


def test_complete_iou_of_boxes_without_extent_has_a_gradient():
    box = torch.tensor([[5.0, 5.0, 5.0, 5.0]], requires_grad=True)
    complete_iou(box, torch.tensor([[0.0, 0.0, 4.0, 8.0]])).sum().backward()
    assert torch.isfinite(box.grad).all()


# ---- losses of made-up predictions


def batch_of(masks, *, size=64, weight=255):
    """Return a batch of one image, with objects given as masks (S, S)."""
    cells = size // 4
    crops = [crop_of(mask) for mask in masks]
    grids = [cv2.resize(mask.astype(np.uint8) * 255, (cells, cells), interpolation=cv2.INTER_AREA) for mask in masks]
    edges = [[c.x, c.y, c.x + c.crop.shape[1], c.y + c.crop.shape[0]] for c in crops]
    colours = [(240, 40, 30), (30, 60, 240), (20, 200, 60)]
    return Batch(
        images=torch.from_numpy(paint(masks, colours[: len(masks)], (size, size))).permute(2, 0, 1)[None],
        boxes=torch.tensor(edges, dtype=torch.float32).reshape(-1, 4),
        masks=torch.from_numpy(np.array(grids, dtype=np.uint8).reshape(-1, cells, cells)),
        image_indices=torch.zeros(len(masks), dtype=torch.int64),
        background_weight=torch.full((1, cells, cells), weight, dtype=torch.uint8),
    )


def loss_of(predictions, batch, seed=0):
    return segmentation_loss(predictions, batch, rng=torch.Generator().manual_seed(seed), mask_gain=4.0)


def exact_predictions(batch, *, score=12.0, shift=0.0):
    """Return exact predictions at all anchors inside the first target.

    The corners of its box must be at `8 k + 4`, which P3 reaches in whole cells.
    """
    centres, strides = anchors(torch.zeros(1, 1, 16, 16))
    box = batch.boxes[:1] + shift
    sides = torch.cat([centres - box[:, :2], box[:, 2:] - centres], dim=1) / strides  # (A, 4)
    sides = sides.round().clamp(0, REG_MAX - 1).long()
    box_logits = (functional.one_hot(sides, REG_MAX) * 30.0).flatten(1).T[None]  # (1, 64, A)
    inside = ((centres > batch.boxes[0, :2]) & (centres < batch.boxes[0, 2:])).all(dim=1) & (strides[:, 0] == 8)
    score_logits = torch.where(inside, score, -score)[None, None]
    coefficients = torch.zeros(1, 4, len(centres))
    coefficients[:, 0] = 20
    prototypes = torch.zeros(1, 4, 16, 16)
    prototypes[0, 0] = torch.where(batch.masks[0] > 127, 1.0, -1.0)
    return Predictions(box_logits, score_logits, coefficients, prototypes)


TWO_ANCHORS = batch_of([rectangle((64, 64), 4, 4, 28, 20)])


def test_exact_predictions_have_no_loss():
    parts = loss_of(exact_predictions(TWO_ANCHORS), TWO_ANCHORS)
    assert [value.item() for value in parts] == pytest.approx([0, 0, 0, 0], abs=0.01)


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        pytest.param({"shift": 8.0}, {"box", "distribution"}, id="box-a-cell-away"),
        pytest.param({"score": -12.0}, {"score"}, id="scores-the-wrong-way-round"),
        pytest.param({"score": 0.0}, {"score"}, id="unsure"),
    ],
)
def test_wrong_predictions_have_a_loss(wrong, parts):
    losses = loss_of(exact_predictions(TWO_ANCHORS, **wrong), TWO_ANCHORS)._asdict()
    for part in parts:
        assert losses[part] > 0.2, part


def test_wrong_mask_has_a_loss():
    right = exact_predictions(TWO_ANCHORS)
    wrong = right._replace(prototypes=-right.prototypes)
    assert loss_of(wrong, TWO_ANCHORS).mask > 40
    assert loss_of(wrong, TWO_ANCHORS).box == loss_of(right, TWO_ANCHORS).box


def test_mask_far_from_its_box_has_no_loss():
    right = exact_predictions(TWO_ANCHORS)
    prototypes = right.prototypes.clone()
    prototypes[..., 8:, :] = 1
    prototypes[..., :, 10:] = 1
    assert loss_of(right._replace(prototypes=prototypes), TWO_ANCHORS).mask == loss_of(right, TWO_ANCHORS).mask


def test_image_without_targets_trains_only_the_scores():
    batch = batch_of([])
    unsure = exact_predictions(TWO_ANCHORS, score=0.0)
    parts = loss_of(unsure, batch)
    assert (parts.box, parts.distribution, parts.mask) == (0, 0, 0)
    num_anchors = 8 * 8 + 4 * 4 + 2 * 2
    assert parts.score.item() == pytest.approx(SCORE_GAIN * num_anchors * math.log(2), rel=1e-5)


@pytest.mark.parametrize("weight", [0, 51, 255])
def test_background_is_weighted(weight):
    unsure = exact_predictions(TWO_ANCHORS, score=0.0)
    full, weighted = (loss_of(unsure, batch_of([], weight=weight)).score for weight in (255, weight))
    assert weighted.item() == pytest.approx(full.item() * weight / 255, rel=1e-5)


def test_targets_are_independent_of_the_background_weight():
    masks = [rectangle((64, 64), 4, 4, 28, 20)]
    missed = exact_predictions(TWO_ANCHORS, score=-12.0)
    assert loss_of(missed, batch_of(masks, weight=0)).score > 1


# ---- losses of a network


def network_of(config, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return YoloV8Network(config)


def composed_batch(size=64, count=2, num_objects=4):
    """Return composed images as one batch."""
    made = [
        compose(
            np.random.default_rng(seed),
            lambda rng: drawn_sample(int(rng.integers(99)), num_objects=num_objects),
            size,
            ComposeSettings(),
        )
        for seed in range(count)
    ]
    return Batch(
        images=torch.from_numpy(np.stack([one.image for one in made])).permute(0, 3, 1, 2),
        boxes=torch.from_numpy(np.concatenate([one.boxes for one in made])),
        masks=torch.from_numpy(np.concatenate([one.masks for one in made])),
        image_indices=torch.repeat_interleave(torch.arange(count), torch.tensor([len(one.boxes) for one in made])),
        background_weight=torch.from_numpy(np.stack([one.background_weight for one in made])),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(composed_batch(), id="composed"),
        pytest.param(batch_of([]), id="no-target"),
        pytest.param(batch_of([], weight=0), id="nothing-at-all"),
        pytest.param(batch_of([rectangle((64, 64), 0, 0, 64, 64)]), id="the-whole-image"),
        pytest.param(batch_of([rectangle((64, 64), 63, 63, 64, 64)]), id="one-pixel"),
    ],
)
def test_losses_and_gradients_are_finite(batch):
    network = network_of(TINY).train()
    parts = loss_of(network(batch.images.float() / 255), batch)
    assert all(math.isfinite(value.item()) and value.item() >= 0 for value in parts)
    sum(parts).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.requires_grad)


def test_gradients_reach_every_parameter():
    size = (128, 128)
    batch = batch_of(
        [rectangle(size, 0, 0, 128, 128), disc(size, 90, 40, 25), rectangle(size, 10, 90, 22, 100)], size=128
    )
    network = network_of(TINY).train()
    # Boxes of untrained networks extend 7.5 cells to each side; bias them to the targets' sizes on every level.
    for branch, half in zip(network.model[22].cv2, (1, 2, 3), strict=True):
        with torch.no_grad():
            branch[-1].bias.view(4, REG_MAX)[:, half] += 6
    sum(loss_of(network(batch.images.float() / 255), batch)).backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    assert without == []


def test_order_of_images_does_not_matter():
    batch = composed_batch(count=3)
    network = network_of(TINY).eval()
    turned = torch.cat([torch.nonzero(batch.image_indices == index)[:, 0] for index in (2, 1, 0)])
    other = Batch(
        images=batch.images.flip(0),
        boxes=batch.boxes[turned],
        masks=batch.masks[turned],
        image_indices=2 - batch.image_indices[turned],
        background_weight=batch.background_weight.flip(0),
    )
    assert len(batch.boxes) > 6
    with torch.no_grad():
        losses = [torch.stack(tuple(loss_of(network(one.images.float() / 255), one))) for one in (batch, other)]
    assert torch.allclose(*losses, rtol=1e-4)


def test_masks_are_subsampled():
    batch = composed_batch(size=160, count=8, num_objects=12)
    network = network_of(TINY).eval()
    with torch.no_grad():
        predictions = network(batch.images.float() / 255)
        one, same, other = (loss_of(predictions, batch, seed) for seed in (0, 0, 1))
    assert 10 * len(batch.boxes) > 2 * MAX_MASKS
    assert one.mask == same.mask
    assert one.mask != other.mask
    assert one.mask.item() == pytest.approx(other.mask.item(), rel=0.1)
    assert one[:3] == other[:3]


def test_subsampled_masks_keep_their_images():
    """Two alternating images with exact predictions: any subset has no loss."""
    batches = [TWO_ANCHORS, batch_of([rectangle((64, 64), 36, 36, 60, 52)])]
    count = 200
    given = [exact_predictions(batch) for batch in batches]
    predictions = Predictions(*(torch.cat([one[part] for one in given] * (count // 2)) for part in range(4)))
    parts = {name: torch.cat([getattr(one, name) for one in batches] * (count // 2)) for name in ("images", "boxes")}
    many = Batch(
        **parts,
        masks=torch.cat([one.masks for one in batches] * (count // 2)),
        image_indices=torch.arange(count),
        background_weight=torch.full((count, 16, 16), 255, dtype=torch.uint8),
    )
    assert 2 * count > MAX_MASKS  # each image has at least two anchors
    assert loss_of(predictions, many).mask.item() == pytest.approx(0, abs=0.01)


@pytest.mark.slow
def test_network_learns_one_image():
    size = (64, 64)
    masks = [disc(size, 20, 22, 14), rectangle(size, 36, 34, 60, 58)]
    batch = batch_of(masks)
    network = network_of(SMALL).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    losses = []
    for step in range(60):
        loss = sum(loss_of(network(batch.images.float() / 255), batch, step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5
    with torch.no_grad():
        found = decode(network(batch.images.float() / 255))
    for mask, box in zip(masks, batch.boxes, strict=True):
        is_near = box_iou(box[None], found.boxes[0])[0] > 0.5
        best = (found.scores[0] * is_near).argmax()
        assert found.scores[0, best] > 0.5
        logits = torch.einsum("m,mhw->hw", found.mask_coefficients[0, best], found.prototypes[0])
        enlarged = functional.interpolate(logits[None, None], size, mode="bilinear")[0, 0] > 0
        x0, y0, x1, y1 = found.boxes[0, best].round().int().tolist()
        inside = enlarged.numpy() & rectangle(size, max(x0, 0), max(y0, 0), x1, y1)
        assert (inside & mask).sum() / (inside | mask).sum() > 0.7
