import numpy as np
import pytest

from streamseg.datasets.problems import Problems
from streamseg.errors import ConfigError, DataError
from streamseg.training.held_out import held_out_images
from streamseg.training.recipe import load_recipe
from tests.support.datasets import coco_folder

GREY = np.full((20, 30, 3), 90, dtype=np.uint8)

RECIPE = """\
hold_out: 2
sources:
  - {path: a, source: x, weight: 2}
  - {path: a, source: x, weight: 1, background_weight: 0}
  - {path: a, source: y}
  - {path: b}
"""


@pytest.fixture
def recipe(tmp_path):
    coco_folder(tmp_path / "a", [(GREY, [])] * 8, images=[{"source": source} for source in "xxxxyyyy"])
    coco_folder(tmp_path / "b", [(GREY, [])] * 2)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def names(images):
    return [f"{entry.path.parent.parent.name}{entry.id}" for entry in images.entries]


def test_each_held_out_image_is_listed_once_and_is_never_drawn(recipe, tmp_path):
    images = held_out_images(recipe, tmp_path)
    assert names(images) == ["a2", "a4", "a6", "a8", "b2"]
    sources, _ = load_recipe(recipe).open_sources(tmp_path)
    drawn = {source.entry(index).path for source in sources for index in range(len(source))}
    assert drawn.isdisjoint(entry.path for entry in images.entries)
    assert len(drawn) + len(images.entries) == 10


def test_one_source(recipe, tmp_path):
    assert names(held_out_images(recipe, tmp_path, source="x")) == ["a2", "a4"]


def test_unusable_images_are_skipped_or_refused(recipe, tmp_path):
    images = held_out_images(recipe, tmp_path)
    images.entries[0].path.unlink()
    problems = Problems()
    assert names(held_out_images(recipe, tmp_path, problems)) == ["a4", "a6", "a8", "b2"]
    assert problems.counts()["images"] == 1
    with pytest.raises(DataError, match=images.entries[0].path.name):
        held_out_images(recipe, tmp_path)


@pytest.mark.parametrize(
    ("text", "source", "error"),
    [
        pytest.param("sources: [{path: b}]", None, "holds no images out; add hold_out", id="nothing held out"),
        pytest.param(RECIPE, "z", "has no source 'z'; available: 'x', 'y'", id="no such source"),
        pytest.param("hold_out: 2", None, "has no source; add one", id="no sources"),
        pytest.param("hold_out: 1", None, "hold_out: Input should be greater than or equal to 2", id="all held out"),
    ],
)
def test_mistakes(recipe, tmp_path, text, source, error):
    recipe.write_text(text)
    with pytest.raises(ConfigError, match=error):
        held_out_images(recipe, tmp_path, source=source)
