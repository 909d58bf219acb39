"""The image of the benchmark of prompts that follow."""

import cv2

from benchmarks.prompt_tracking.absences import absences
from benchmarks.prompt_tracking.plot import draw
from tests.support.prompt_sequences import film


def test_both_figures_are_drawn_where_it_was_asked(tmp_path, capsys):
    path = tmp_path / "new" / "prompts.png"
    draw({"bound": {1: 0.5, 10: 0.9}, "lost": {1: 0.4, 10: 1.5}}, absences("film", [film("c" * 8)]), path)
    picture = cv2.imread(str(path))
    assert picture is not None
    height, width = picture.shape[:2]
    assert width > 2 * height
    for half in (picture[:, : width // 2], picture[:, width // 2 :]):
        assert half.std() > 10, "not one flat colour"
    assert str(path) in capsys.readouterr().out
