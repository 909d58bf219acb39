import cv2
import numpy as np
import pytest

from streamseg.datasets.entries import LabelledImage
from streamseg.datasets.problems import Problems
from streamseg.errors import DataError
from streamseg.evaluation.drawings import drawing_paths, has_drawings, read_drawing


def entry(folder, name):
    return LabelledImage(folder / "images" / name, (4, 6), None, (), list_file=folder / "instances.json")


@pytest.mark.parametrize("stem", ["a", "a[1]"])
def test_drawings_of_an_image(tmp_path, stem):
    (tmp_path / "gt").mkdir()
    drawn = np.eye(4, 6, dtype=np.uint8) * 255
    for number in range(2):
        cv2.imwrite(str(tmp_path / "gt" / f"{stem}_{number}.png"), drawn)
    paths = drawing_paths(entry(tmp_path, f"{stem}.jpg"), tmp_path)
    assert [path.name for path in paths] == [f"{stem}_0.png", f"{stem}_1.png"]
    assert np.array_equal(read_drawing(paths[0], (4, 6)), drawn > 0)
    with pytest.raises(DataError, match="is 6x4; the image is 9x4"):
        read_drawing(paths[0], (4, 9))


def test_image_without_drawing_is_a_problem(tmp_path):
    problems = Problems()
    assert not has_drawings(entry(tmp_path, "b.jpg"), tmp_path, problems)
    (problem,) = problems
    assert "contains no drawing b_0.png of b.jpg" in problem.message
