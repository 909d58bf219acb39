"""Plots are non-empty PNG files."""

import cv2
import numpy as np
import pytest

from streamseg.evaluation.curves import plot_edges, plot_scene, plot_video
from streamseg.evaluation.davis import MeasureScores
from streamseg.evaluation.edges import EdgeScores
from streamseg.evaluation.scene import SceneScores
from streamseg.evaluation.video import SequenceScores, TrackingScores, VideoScores
from tests.support.images import num_colours

pytestmark = pytest.mark.slow

pytest.importorskip("matplotlib", reason="plots need matplotlib; install the extra eval")


def edge_scores(precision, recall):
    return EdgeScores(3, 9, 0.6, 0.3, 0.65, 0.55, 0.7, tuple(precision), tuple(recall))


def video_scores(names):
    def follow(value):
        measure = MeasureScores(value, 0.5, 0.1)
        return TrackingScores(value, measure, measure, 1.0, dict.fromkeys(names, SequenceScores(measure, measure, 1.0)))

    by_name = {"selection": follow(0.4), "track": follow(0.3)}
    return VideoScores(len(names), 30, {"box": by_name, "1 point": by_name}, follow(0.8))


SCENE = SceneScores(2, 40, 300, 0.4, 0.7, 0.5, 0.6, 0.5, 0.4, 0.6, 0.8, 3, 4, tuple(np.linspace(0.7, 0.1, 19).tolist()))


@pytest.mark.parametrize(
    ("plot", "scores"),
    [
        pytest.param(
            plot_edges,
            {
                "one": edge_scores(np.linspace(0.2, 0.9, 99), np.linspace(0.9, 0.1, 99)),
                "two": edge_scores(np.linspace(0.3, 0.9, 99), np.linspace(0.8, 0.1, 99)),
            },
            id="edges",
        ),
        pytest.param(plot_edges, {"one": edge_scores(np.zeros(99), np.zeros(99))}, id="no edge found"),
        pytest.param(plot_video, video_scores(["goat", "car"]), id="names"),
        pytest.param(plot_video, video_scores(["goat"]), id="one sequence"),
        pytest.param(plot_scene, SCENE, id="scene"),
    ],
)
def test_plot_is_written(plot, scores, tmp_path):
    plot(scores, tmp_path / "plot.png")
    image = cv2.imread(str(tmp_path / "plot.png"))
    assert min(image.shape[:2]) > 300
    assert num_colours(image) > 20


def test_missing_folder(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        plot_scene(SCENE, tmp_path / "nowhere" / "plot.png")
