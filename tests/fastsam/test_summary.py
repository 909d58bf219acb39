"""Objects as lines of label files and as tables."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from streamseg.datasets.masks import annotation_mask
from streamseg.datasets.yolo import read_yolo_images
from streamseg.datasets.yolo_yaml import read_yolo_yaml
from streamseg.errors import DataError
from streamseg.fastsam import Boxes
from streamseg.fastsam.summary import data_frame, label_lines
from tests.support.fastsam_results import rectangles, results_of
from tests.support.yolo_data import yolo_data_set

MASKS = rectangles((8, 6, 24, 30), (40, 12, 72, 48))
"""In images of 80 x 60."""


def lines_of(masks, **options):
    result = results_of(masks)
    return list(label_lines(result.boxes, result.masks, **{"save_conf": False} | options))


def test_outlines_are_fractions_of_the_image():
    first, _ = lines_of(MASKS)
    assert first.split()[0] == "0"
    points = np.array(first.split()[1:], float).reshape(-1, 2) * (80, 60)
    np.testing.assert_allclose(sorted(points.tolist()), [[8, 6], [8, 29], [23, 6], [23, 29]], atol=1e-3)


def test_score_and_identity_follow_the_outline():
    result = results_of(MASKS)
    scores = [float(line.split()[-1]) for line in lines_of(MASKS, save_conf=True)]
    assert scores == pytest.approx(result.boxes.conf.tolist())
    tracked = Boxes(
        torch.cat([result.boxes.data[:, :4], torch.tensor([[7.0], [8.0]]), result.boxes.data[:, 4:]], 1), (60, 80)
    )
    lines = list(label_lines(tracked, result.masks, save_conf=True))
    assert [line.split()[-1] for line in lines] == ["7", "8"]
    assert [float(line.split()[-2]) for line in lines] == pytest.approx(scores)


@pytest.mark.parametrize(
    "corners",
    [
        pytest.param((8, 6, 9, 7), id="one pixel"),
        pytest.param((8, 6, 24, 7), id="one row"),
    ],
)
def test_less_than_three_points_are_a_box(corners):
    (line,) = lines_of(rectangles(corners))
    assert len(line.split()) == 5
    x0, y0, x1, y1 = corners
    expected = [(x0 + x1) / 160, (y0 + y1) / 120, (x1 - x0) / 80, (y1 - y0) / 60]
    assert [float(value) for value in line.split()[1:]] == pytest.approx(expected, abs=1e-6)


def test_an_object_without_pixels_and_box_has_no_line():
    assert lines_of(rectangles((8, 6, 8, 6))) == []


def test_lines_are_labels_of_a_data_set(tmp_path):
    image = np.full((60, 80, 3), 90, np.uint8)
    data = yolo_data_set(tmp_path, {"train": [(image, "\n".join(lines_of(MASKS)))]})
    (entry,) = read_yolo_images(data, "train")
    assert read_yolo_yaml(data).splits.keys() == {"train", "val"}
    for annotation, mask in zip(entry.annotations, MASKS, strict=True):
        read = annotation_mask(annotation, (60, 80))((60, 80))
        # Outlines pass through the centres of pixels, as in the originals: half a pixel is lost on each side.
        assert (read & mask).sum() / (read | mask).sum() > 0.85


def test_table():
    result = results_of(MASKS)
    table = result.to_df()
    assert list(table.columns) == ["name", "class", "confidence", "box", "segments"]
    assert table["confidence"].tolist() == pytest.approx([0.9, 0.5])
    assert table["box"][0] == {"x1": 8.0, "y1": 6.0, "x2": 24.0, "y2": 30.0}
    assert result.to_csv().splitlines()[0] == ",name,class,confidence,box,segments"
    assert results_of(MASKS[:0]).to_df().empty


def test_missing_pandas_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(DataError, match=r"^to_df\(\) needs the package pandas, which is not installed; run: pip"):
        data_frame([], "to_df")
