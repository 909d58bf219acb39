import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.modeling.decoding import anchors, decode, expected_sides
from streamseg.modeling.network import Predictions


def make_predictions(size=(64, 96), *, batch=1, reg_max=16, num_classes=1, dtype=torch.float32):
    """Predictions of zeros: all bins are equally likely."""
    height, width = size
    num_anchors = sum((height // stride) * (width // stride) for stride in (8, 16, 32))
    return Predictions(
        box_logits=torch.zeros(batch, 4 * reg_max, num_anchors, dtype=dtype),
        score_logits=torch.zeros(batch, num_classes, num_anchors, dtype=dtype),
        mask_coefficients=torch.zeros(batch, 32, num_anchors, dtype=dtype),
        prototypes=torch.zeros(batch, 32, height // 4, width // 4, dtype=dtype),
    )


def test_anchors_are_cell_centres_by_level_and_row():
    found = anchors(torch.zeros(1, 32, 16, 24))  # an input of 64 x 96
    centres = found.centres.tolist()
    assert len(centres) == 8 * 12 + 4 * 6 + 2 * 3
    assert centres[:2] == [[4, 4], [12, 4]]
    assert centres[12] == [4, 12]
    assert centres[96:98] == [[8, 8], [24, 8]]
    assert centres[120:122] == [[16, 16], [48, 16]]
    assert centres[-1] == [80, 48]
    assert found.strides.squeeze(1).tolist() == [8] * 96 + [16] * 24 + [32] * 6


@pytest.mark.parametrize(
    ("anchor", "box"),
    [
        # left 1, top 2, right 3, bottom 4 cells from the centre
        pytest.param(0, [4 - 8, 4 - 16, 4 + 24, 4 + 32], id="stride 8"),
        pytest.param(13, [12 - 8, 12 - 16, 12 + 24, 12 + 32], id="stride 8, second row"),
        pytest.param(96, [8 - 16, 8 - 32, 8 + 48, 8 + 64], id="stride 16"),
        pytest.param(125, [80 - 32, 48 - 64, 80 + 96, 48 + 128], id="stride 32, last"),
    ],
)
def test_one_hot_distribution_decodes_to_its_bin(anchor, box):
    predictions = make_predictions()
    for side, cells in enumerate((1, 2, 3, 4)):
        predictions.box_logits[0, side * 16 + cells, anchor] = 100.0
    assert decode(predictions).boxes[0, anchor].tolist() == pytest.approx(box, abs=1e-4)


@pytest.mark.slow
@given(st.lists(st.floats(-8, 8), min_size=4 * 5, max_size=4 * 5))
@settings(deadline=None)
def test_sides_are_distribution_means(logits):
    logits = torch.tensor(logits).view(1, 20, 1)
    probabilities = logits.view(4, 5).exp() / logits.view(4, 5).exp().sum(dim=1, keepdim=True)
    expected = (probabilities * torch.arange(5)).sum(dim=1)
    torch.testing.assert_close(expected_sides(logits)[0, 0], expected, atol=1e-5, rtol=1e-5)


def test_half_precision_predictions_are_decoded_in_float32():
    # A flat distribution has its mean at 7.5 cells; summed in float16 it would be off by up to 1/256 of it.
    predictions = make_predictions(dtype=torch.float16)
    predictions.box_logits.add_(torch.linspace(-3, 3, 64, dtype=torch.float16)[None, :, None])
    found = decode(predictions)
    expected = decode(Predictions(*(tensor.float() for tensor in predictions if tensor is not None)))
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    assert found.mask_coefficients.dtype == found.prototypes.dtype == torch.float16
    assert torch.equal(found.boxes, expected.boxes)


def test_more_bins_allow_larger_boxes():
    predictions = make_predictions(reg_max=26)
    predictions.box_logits[0, 25::26] = 100.0
    left, _, right, _ = decode(predictions).boxes[0, -1].tolist()
    assert right - left == pytest.approx(2 * 25 * 32)


def test_scores_are_the_maximum_over_classes():
    predictions = make_predictions(num_classes=3)
    predictions.score_logits[0, :, 5] = torch.tensor([-1.0, 2.0, 0.5])
    scores = decode(predictions).scores
    assert scores.shape == (1, 126)
    assert scores[0, 5] == torch.sigmoid(torch.tensor(2.0))
    assert scores[0, 0] == 0.5


def test_coefficients_keep_the_order_of_anchors():
    predictions = make_predictions(batch=2)
    predictions.mask_coefficients[1, :, 7] = torch.arange(32.0)
    found = decode(predictions)
    assert found.mask_coefficients.shape == (2, 126, 32)
    assert torch.equal(found.mask_coefficients[1, 7], torch.arange(32.0))
    assert not found.mask_coefficients[0].any()


def test_gradients_reach_the_logits():
    logits = torch.zeros(1, 64, 126, requires_grad=True)
    decode(make_predictions()._replace(box_logits=logits)).boxes.sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0
