"""Plots of made-up and missing scores are written and not empty."""

import math

import cv2
import numpy as np
import pytest

from streamseg.evaluation.boundary import BoundaryScores, score_outlines
from streamseg.evaluation.matching import match_image
from streamseg.evaluation.plots import figure, plot_boundary, plot_prompted, plot_proposals, plot_scores
from streamseg.evaluation.prompted import PromptedScores, score_prompt_masks
from streamseg.evaluation.proposals import ProposalScores, score_matches
from streamseg.evaluation.scores import ScoreScores, calibration
from tests.support.images import num_colours


def proposals(count):
    rng = np.random.default_rng(0)
    ious, areas = rng.random((2 * count, count)), np.full(count, 500.0)
    matches = match_image(ious, rng.random(2 * count), np.full(2 * count, 500.0), areas, np.zeros(count, dtype=bool))
    scores = score_matches([matches])
    return ProposalScores(1, count, 2.0 * count, scores, scores, 0.5, {})


def prompted(count):
    scores = score_prompt_masks(np.linspace(0, 1, count), np.full(count, 500.0))
    return PromptedScores(1, count, *[scores] * 7)


def boundary(count):
    scores = score_outlines(np.linspace(0, 1, count), np.linspace(0, 1, count), np.full(count, 500.0))
    sides = {str(side): (count, 0.5 if count else math.nan, 0.6) for side in (0, 16, 32, 64, 96, 128, 192, 256)}
    return BoundaryScores(1, count, scores, scores, scores, sides)


def scores(count):
    figures = calibration(np.linspace(0, 1, count), np.linspace(0.2, 0.8, count))
    return ScoreScores(1, figures, figures)


@pytest.mark.slow
@pytest.mark.parametrize("count", [pytest.param(9, id="some"), pytest.param(0, id="no objects")])
@pytest.mark.parametrize(
    ("plot", "make"),
    [
        pytest.param(plot_proposals, proposals, id="proposals"),
        pytest.param(plot_prompted, prompted, id="prompted"),
        pytest.param(plot_boundary, boundary, id="boundary"),
        pytest.param(plot_scores, scores, id="scores"),
    ],
)
def test_plot_writes_an_image(tmp_path, plot, make, count):
    plot(make(count), tmp_path / "plot.png")
    image = cv2.imread(str(tmp_path / "plot.png"))
    assert image.shape[0] > 400
    assert image.shape[1] > 1000
    assert num_colours(image) > 20


@pytest.mark.slow
def test_unwritable_path_raises(tmp_path):
    with pytest.raises(OSError, match="none"), figure(tmp_path / "none" / "plot.png", 1, title="t"):
        pass


@pytest.mark.slow
def test_style_of_other_plots_is_unchanged(tmp_path):
    from matplotlib import rcParams

    before = dict(rcParams)
    with figure(tmp_path / "plot.png", 1, title="t"):
        pass
    assert dict(rcParams) == before
