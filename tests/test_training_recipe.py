from pathlib import Path

import numpy as np
import pytest
from pictures import coco_folder

from streamseg.errors import ConfigError, DataError
from streamseg.training.recipe import Recipe, load_recipe
from streamseg.training.scenes import SceneSamples

REPO = Path(__file__).parent.parent
GREY = np.full((20, 30, 3), 90, dtype=np.uint8)


def written(folder, text):
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_opens_its_sources_in_order(tmp_path):
    coco_folder(tmp_path / "data" / "a", [(GREY, []), (GREY, [])], images=[{"source": "x"}, {"source": "y"}])
    coco_folder(tmp_path / "data" / "b", [(GREY, [])])
    recipe = load_recipe(
        written(
            tmp_path,
            """
            sources:
              - {path: a, source: x, weight: 3, background_weight: 0.4}
              - {path: b}
            scene_weight: 0.5
            settings: {num_steps: 7}
            """,
        )
    )
    sources, weights = recipe.open_sources(tmp_path / "data")
    assert weights == [3, 1, 0.5]
    assert [len(source) for source in sources[:2]] == [1, 1]
    assert [source.sample(0).background_weight for source in sources[:2]] == [0.4, 1.0]
    assert isinstance(sources[2], SceneSamples)
    assert recipe.settings == {"num_steps": 7}


def test_an_absolute_path_stays_where_it_is(tmp_path):
    coco_folder(tmp_path / "a", [(GREY, [])])
    recipe = load_recipe(written(tmp_path, f"sources: [{{path: {tmp_path / 'a'}}}]"))
    assert len(recipe.open_sources(Path("elsewhere"))[0]) == 1


def test_a_recipe_of_nothing_opens_nothing():
    assert Recipe().open_sources(Path()) == ([], [])


def test_a_missing_folder_is_told_when_it_is_opened(tmp_path):
    recipe = load_recipe(written(tmp_path, "sources: [{path: nowhere}]"))
    with pytest.raises(DataError, match=r"nowhere is no COCO-format folder"):
        recipe.open_sources(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "the recipe must hold keys and values, got None", id="empty"),
        pytest.param("[1]", "the recipe must hold keys and values, got [1]", id="a-list"),
        pytest.param("sources: [", "is not valid YAML", id="no-yaml"),
        pytest.param("source: []", "source: unknown key; valid keys are sources, scene_weight, ", id="unknown-key"),
        pytest.param(
            "sources: [{path: a, wieght: 2}]",
            "sources.0.wieght: unknown key; valid keys are path, source, weight, background_weight",
            id="unknown-key-of-a-source",
        ),
        pytest.param("sources: [{weight: 2}]", "sources.0.path: Field required", id="no-path"),
        pytest.param("sources: [a]", "sources.0 must hold keys and values, got a", id="source-is-text"),
        pytest.param(
            "sources: [{path: a, weight: 0}]", "sources.0.weight: Input should be greater than 0, got 0", id="weight-0"
        ),
        pytest.param("sources: [{path: a, weight: .inf}]", "sources.0.weight", id="weight-without-end"),
        pytest.param("sources: [{path: a, background_weight: 1.5}]", "less than or equal to 1, got 1.5", id="too-much"),
        pytest.param(
            "scene_weight: -1", "scene_weight: Input should be greater than or equal to 0", id="scene-negative"
        ),
        pytest.param("scene_weight: .nan", "scene_weight", id="scene-nan"),
        pytest.param("settings: 3", "settings: Input should be a valid dictionary, got 3", id="settings-a-number"),
    ],
)
def test_a_wrong_recipe_is_told_in_a_line(tmp_path, text, says):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_every_mistake_has_its_line(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_recipe(written(tmp_path, "sources: [{path: a, weight: 0}, {}]\nscene_weight: -1"))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "prepare", [pytest.param(lambda path: None, id="missing"), pytest.param(Path.mkdir, id="folder")]
)
def test_a_recipe_that_cannot_be_read(tmp_path, prepare):
    path = tmp_path / "recipe.yaml"
    prepare(path)
    with pytest.raises(ConfigError, match="cannot read the recipe"):
        load_recipe(path)


@pytest.mark.parametrize("path", sorted(REPO.glob("configs/train-*.yaml")), ids=lambda path: path.name)
def test_recipes_of_the_repository_are_right(path):
    recipe = load_recipe(path)
    assert recipe.sources
    assert recipe.settings
