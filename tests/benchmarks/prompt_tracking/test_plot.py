"""The plot of the benchmark of tracked prompts."""

import cv2
import pytest

from benchmarks.prompt_tracking.absences import absences
from benchmarks.prompt_tracking.plot import draw
from tests.support.prompt_sequences import cup_and_kite

pytestmark = pytest.mark.slow


def test_both_plots_are_drawn(tmp_path, capsys):
    path = tmp_path / "new" / "prompts.png"
    draw({"bound": {1: 0.5, 10: 0.9}, "lost": {1: 0.4, 10: 1.5}}, absences("sequence", [cup_and_kite("c" * 8)]), path)
    image = cv2.imread(str(path))
    assert image is not None
    height, width = image.shape[:2]
    assert width > 2 * height
    for half in (image[:, : width // 2], image[:, width // 2 :]):
        assert half.std() > 10, "not one flat colour"
    assert str(path) in capsys.readouterr().out
