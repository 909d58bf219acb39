"""The command of the Label Studio backend: its arguments, and the objects that it selects."""

import numpy as np
import pytest

from streamseg.cli.label_studio import ObjectSelector
from streamseg.cli.main import main
from streamseg.errors import DataError
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt
from tests.support.stages import LEFT, RIGHT, FixedSegmenter

IMAGE = np.full((48, 64, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("prompt", "boxes"),
    [
        pytest.param(PointPrompt("context", ((12.0, 24.0),), (1,)), [LEFT], id="a click"),
        pytest.param(PointPrompt("context", ((30.0, 46.0),), (1,)), [], id="a click on nothing"),
        pytest.param(BoxPrompt("context", (38.0, 8.0, 57.0, 41.0)), [RIGHT], id="a box"),
        pytest.param(EverythingPrompt("context"), [LEFT, RIGHT], id="everything"),
    ],
)
def test_a_prompt_selects_one_object_and_no_prompt_all_of_them(prompt, boxes):
    select = ObjectSelector.of(FixedSegmenter([LEFT, RIGHT]))
    for _ in range(2):  # nothing is left of the first image
        assert [list(one.box) for one in select(IMAGE, prompt)] == boxes


def test_a_prompt_outside_of_the_image_is_an_error():
    with pytest.raises(DataError, match="lies outside the image"):
        ObjectSelector.of(FixedSegmenter([LEFT]))(IMAGE, PointPrompt("context", ((99.0, 1.0),), (1,)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "give --root FOLDER", id="no images"),
        pytest.param(["--root", "missing"], "is not a folder", id="no folder"),
        pytest.param(["--root", ".", "--listen", "0.0.0.0:0"], "add --allow-public", id="public"),
        pytest.param(["--root", ".", "--listen", "nonsense"], "is not HOST:PORT", id="no address"),
        pytest.param(["--from", "x"], "is not the address of a Label Studio", id="no Label Studio"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, capsys):
    assert main(["label-studio", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
