import numpy as np
import pytest

from streamseg.datasets.entries import Annotation, LabelledImage
from streamseg.datasets.masks import annotation_mask, check_annotation
from streamseg.datasets.problems import Problems
from tests.support.images import rectangle

SIZE = (30, 40)
SQUARE = [5, 5, 15, 5, 15, 15, 5, 15]


def annotation(segmentation):
    name = "annotation 7 in instances.json"
    return Annotation(name, segmentation, "object", is_part=False, is_crowd=False, area=None, box=None, id="7")


def check(segmentation, tmp_path, size=SIZE):
    problems = Problems()
    one = annotation(segmentation)
    entry = LabelledImage(tmp_path / "a.png", size, None, (one,), list_file=tmp_path / "instances.json")
    return check_annotation(one, entry, problems), list(problems)


@pytest.mark.parametrize(
    ("polygon", "columns", "rows"),
    [
        pytest.param([-3, -2, 20, -2, 20, 10, -3, 10], (0, 20), (0, 10), id="upper-left"),
        pytest.param([20, 10, 43, 10, 43, 33, 20, 33], (20, 40), (10, 30), id="lower-right"),
        pytest.param([-3, -3, 43, -3, 43, 33, -3, 33], (0, 40), (0, 30), id="all-sides"),
        pytest.param([5, 5, 15.0, 5, 15, 15.0, 5, 15], (5, 15), (5, 15), id="no-overhang"),
    ],
)
def test_overhang_of_three_pixels_is_clipped(tmp_path, polygon, columns, rows):
    assert check([polygon], tmp_path) == (True, [])
    expected = rectangle(SIZE, columns[0], rows[0], columns[1], rows[1])
    assert np.array_equal(annotation_mask(annotation([polygon]), SIZE).full(SIZE), expected)


@pytest.mark.parametrize(("overhang", "is_usable"), [(8, True), (12, False)])
def test_large_images_may_be_left_by_one_percent(tmp_path, overhang, is_usable):
    polygon = [900, 20, 1000 + overhang, 20, 1000 + overhang, 40, 900, 40]
    assert check([polygon], tmp_path, size=(100, 1000))[0] is is_usable


@pytest.mark.parametrize(
    ("segmentation", "count"),
    [
        pytest.param([SQUARE, [40, 40, 50, 50]], 1, id="two-points"),
        pytest.param([[1, 1], SQUARE, []], 2, id="one-point-and-none"),
        pytest.param([[1, 1, 400, 400], SQUARE], 1, id="two-points-first-and-outside"),
    ],
)
def test_short_rings_are_named_and_the_others_used(tmp_path, segmentation, count):
    is_usable, (problem,) = check(segmentation, tmp_path)
    assert is_usable
    assert (problem.kind, problem.id, problem.count) == ("ring", "7", count)
    assert f"{count} of {len(segmentation)} rings have fewer" in problem.message
    mask = annotation_mask(annotation(segmentation), SIZE)
    assert np.array_equal(mask.full(SIZE), rectangle(SIZE, 5, 5, 15, 15))


@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param([], id="empty"),
        pytest.param({}, id="empty-object"),
        pytest.param(None, id="none"),
        pytest.param([[1, 1, 2, 2]], id="short-ring-only"),
        pytest.param([SQUARE, [1, 2, 3]], id="odd-ring-beside-a-valid-one"),
        pytest.param([SQUARE, "x"], id="text-beside-a-valid-ring"),
        pytest.param([[1e300, 1, 5, 1, 5, 5]], id="huge-coordinate"),
        pytest.param([[10**400, 1, 5, 1, 5, 5]], id="integer-beyond-floats"),
        pytest.param({"size": [30, 40], "counts": [float("inf"), 1]}, id="infinite-run"),
    ],
)
def test_unusable_annotation_is_one_problem(tmp_path, segmentation):
    is_usable, (problem,) = check(segmentation, tmp_path)
    assert not is_usable
    assert (problem.kind, problem.id, problem.file.name) == ("annotation", "7", "instances.json")
    assert problem.message.startswith("annotation 7 in instances.json: ")
    assert "\n" not in problem.message


def test_whole_floats_are_run_lengths(tmp_path):
    runs = {"size": [30.0, 40.0], "counts": [600.0, 30.0, 570]}
    assert check(runs, tmp_path) == (True, [])
    assert annotation_mask(annotation(runs), SIZE).area == 30
