import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.modeling.network import Predictions
from streamseg.training.teacher import teacher_loss


def predictions(scores, *, boxes=None, bins=4):
    """Predictions for one image with these probabilities; boxes: bin of all sides by anchor."""
    logits = torch.logit(torch.tensor([[scores]], dtype=torch.float32))
    sides = torch.zeros(1, 4, bins, len(scores))
    for anchor, chosen in enumerate(boxes or []):
        sides[:, :, chosen, anchor] = 8.0
    zeros = torch.zeros(1, 2, len(scores))
    return Predictions(sides.flatten(1, 2), logits, zeros, torch.zeros(1, 2, 8, 8))


@pytest.mark.parametrize(
    ("ours", "theirs", "is_zero"),
    [
        pytest.param([0.5, 0.5], [0.5, 0.5], True, id="equal"),
        pytest.param([0.9, 0.3], [0.5, 0.05], True, id="the-network-detects-more"),
        pytest.param([0.2, 0.3], [0.5, 0.05], False, id="the-teacher-detects-more"),
        pytest.param([0.01, 0.02], [0.05, 0.09], True, id="the-teacher-is-unsure"),
    ],
)
def test_scores_are_learnt_one_sided(ours, theirs, is_zero):
    loss = float(teacher_loss(predictions(ours), predictions(theirs)))
    assert (loss == pytest.approx(0, abs=1e-6)) is is_zero
    assert loss >= -1e-6


def test_boxes_are_learnt_only_where_the_teacher_detects():
    taught = predictions([0.8, 0.05], boxes=[1, 1])
    assert float(teacher_loss(predictions([0.9, 0.9], boxes=[1, 3]), taught)) == pytest.approx(0, abs=1e-5)
    assert float(teacher_loss(predictions([0.9, 0.9], boxes=[3, 1]), taught)) > 1


@given(st.lists(st.tuples(*2 * [st.floats(0.01, 0.99)]), min_size=1, max_size=6))
def test_loss_is_finite_and_not_negative(pairs):
    ours, theirs = ([pair[index] for pair in pairs] for index in range(2))
    loss = teacher_loss(predictions(ours), predictions(theirs))
    assert loss.isfinite()
    assert float(loss) >= -1e-5


def test_gradient_raises_only_low_scores():
    ours = predictions([0.2, 0.9])
    ours.score_logits.requires_grad_(True)
    teacher_loss(ours, predictions([0.7, 0.7])).backward()
    gradient = ours.score_logits.grad
    assert gradient is not None
    assert gradient[0, 0, 0] < 0
    assert gradient[0, 0, 1] == 0
