from pathlib import Path

import cv2
import pytest

from streamseg.cli.training_curves import draw_curves
from streamseg.errors import DataError
from streamseg.training.step_log import append_line

pytestmark = pytest.mark.slow


def log(folder, num_lines, *, evaluations=0):
    for line in range(1, num_lines + 1):
        losses = {"box": 9 / line, "distribution": 3 / line, "score": 2 / line, "mask": 5 / line}
        rate = {"learning_rate": 0.002 / line, "pictures_per_second": 7.0}
        append_line(folder / "losses.jsonl", {"step": 50 * line, "num_steps": 1000, "losses": losses, **rate})
    for line in range(1, evaluations + 1):
        scores = {"mask AR@100": 0.02 * line, "box AR@1000": 0.04 * line}
        append_line(folder / "evaluations.jsonl", {"step": 100 * line, "scores": scores})


@pytest.mark.parametrize(
    ("num_lines", "evaluations", "num_axes"),
    [
        pytest.param(0, 0, 2, id="empty"),
        pytest.param(1, 0, 2, id="one-line"),
        pytest.param(20, 0, 2, id="losses"),
        pytest.param(20, 10, 3, id="losses-and-evaluations"),
        pytest.param(0, 1, 3, id="evaluation-only"),
    ],
)
def test_plot_has_one_panel_per_kind_of_curve(tmp_path, num_lines, evaluations, num_axes):
    log(tmp_path, num_lines, evaluations=evaluations)
    path = draw_curves(tmp_path)
    assert path == tmp_path / "curves.png"
    height, width = cv2.imread(str(path)).shape[:2]
    assert width / height == pytest.approx(num_axes * 5.2 / 4.2, rel=0.02)


def test_plot_follows_the_log(tmp_path):
    log(tmp_path, 5)
    first = draw_curves(tmp_path).read_bytes()
    assert draw_curves(tmp_path).read_bytes() == first
    log(tmp_path, 6)
    assert draw_curves(tmp_path).read_bytes() != first


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full exists on Linux only")
def test_full_disk_is_reported(tmp_path):
    log(tmp_path, 3)
    (tmp_path / "curves.png").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot draw .*curves\.png: No space left on device"):
        draw_curves(tmp_path)
