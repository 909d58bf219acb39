import pytest
import torch

from streamseg.prompting.overlap import MIN_SCORE, select_best_fits
from streamseg.structures.prompt import BoxPrompt, Selection

PROMPT = BoxPrompt("box", (0, 0, 10, 10))


@pytest.mark.parametrize(
    ("fit", "best", "nested"),
    [
        pytest.param([0.5, 0.75, 0.25], (1,), (1, 0), id="best first, none below the minimum"),
        pytest.param([0.5, 0.5], (0,), (0, 1), id="ties in row order"),
        pytest.param([0.25, 0.125], (), (), id="nothing fits"),
        pytest.param([MIN_SCORE], (0,), (0,), id="the minimum itself"),
    ],
)
def test_rows_by_fit(fit, best, nested):
    table = torch.tensor([fit], dtype=torch.float64)
    for rows, is_nested in ((best, False), (nested, True)):
        (selection,) = select_best_fits([PROMPT], table, nested=is_nested)
        assert selection == Selection("box", rows, tuple(fit[row] for row in rows))


def test_one_selection_per_prompt():
    prompts = [PROMPT, BoxPrompt("other", (5, 5, 9, 9))]
    selections = select_best_fits(prompts, torch.tensor([[0.5, 0.0], [0.0, 1.0]]), nested=True)
    assert [(one.prompt_id, one.rows) for one in selections] == [("box", (0,)), ("other", (1,))]
