"""JSON fields of scores."""

import numpy as np

from streamseg.evaluation.davis import MeasureScores
from streamseg.evaluation.results import result_fields
from streamseg.evaluation.scores import ScoreScores, calibration
from streamseg.evaluation.video import SequenceScores, TrackingScores, VideoScores


def test_renamed_fields_keep_their_json_keys():
    measure = MeasureScores(0.9, 1.0, 0.1)
    tracking = TrackingScores(0.9, measure, measure, 1.0, {"goat": SequenceScores(measure, measure, 1.0)})
    content = result_fields(VideoScores(1, 20, {"box": {"prompt": tracking}}, tracking))
    assert list(content) == ["num_films", "num_frames", "by_prompt", "best", "claims"]
    assert content["by_prompt"]["box"]["prompt"]["films"]["goat"]["region"] == {
        "mean": 0.9,
        "recall": 1.0,
        "decay": 0.1,
    }


def test_nested_dataclasses_become_dicts():
    figures = calibration(np.array([0.55]), np.array([0.7]))
    content = result_fields(ScoreScores(3, figures, figures))
    assert list(content) == ["num_pictures", "all_proposals", "on_objects"]
    assert content["on_objects"]["num_proposals"] == 1
    assert content["on_objects"]["reliability"][5]["mean_iou"] == 0.7
