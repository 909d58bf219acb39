from pathlib import Path

import numpy as np
import pytest

from streamseg.datasets.coco_folder import CocoFolder
from streamseg.datasets.sa1b import Sa1bFolder
from streamseg.datasets.yolo_folder import YoloFolder
from streamseg.errors import ConfigError, DataError
from streamseg.training.recipe import Recipe, RecipeSource, load_recipe
from streamseg.training.scenes import SceneSamples
from tests.support.datasets import coco_folder, write_sa1b_entry
from tests.support.images import rectangle
from tests.support.paths import REPOSITORY
from tests.support.yolo_data import yolo_data_set

GREY = np.full((20, 30, 3), 90, dtype=np.uint8)


def write_entry(folder, number, **keys):
    return write_sa1b_entry(folder, number, [rectangle((30, 40), 2, 2, 9, 12)], size=(30, 40), **keys)


def write_recipe(folder, text):
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_sources_are_opened_in_order(tmp_path):
    coco_folder(tmp_path / "data" / "a", [(GREY, []), (GREY, [])], images=[{"source": "x"}, {"source": "y"}])
    coco_folder(tmp_path / "data" / "b", [(GREY, [])])
    recipe = load_recipe(
        write_recipe(
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


def test_held_out_images_are_not_drawn(tmp_path):
    coco_folder(tmp_path / "a", [(GREY, [])] * 9)
    recipe = load_recipe(write_recipe(tmp_path, "sources: [{path: a}]\nhold_out: 3\nscene_weight: 1"))
    assert [len(source) for source in recipe.open_sources(tmp_path)[0][:1]] == [6]
    assert len(recipe.model_copy(update={"hold_out": None}).open_sources(tmp_path)[0][0]) == 9


def test_absolute_path_is_kept(tmp_path):
    coco_folder(tmp_path / "a", [(GREY, [])])
    recipe = load_recipe(write_recipe(tmp_path, f"sources: [{{path: {tmp_path / 'a'}}}]"))
    assert len(recipe.open_sources(Path("elsewhere"))[0]) == 1


def test_empty_recipe_opens_nothing():
    assert Recipe().open_sources(Path()) == ([], [])


@pytest.mark.parametrize(
    ("path", "keys", "kind"),
    [
        pytest.param("coco", {}, CocoFolder, id="coco"),
        pytest.param("coco", {"format": "coco"}, CocoFolder, id="coco-explicit"),
        pytest.param("sa", {}, Sa1bFolder, id="sa-1b"),
        pytest.param("sa", {"format": "sa-1b"}, Sa1bFolder, id="sa-1b-explicit"),
        pytest.param("both", {}, CocoFolder, id="both"),
        pytest.param("both", {"format": "sa-1b"}, Sa1bFolder, id="both-sa-1b-explicit"),
        pytest.param("yolo/coco8-seg.yaml", {}, YoloFolder, id="yolo"),
        pytest.param("yolo", {}, YoloFolder, id="yolo-folder"),
        pytest.param("yolo", {"format": "yolo", "split": "val"}, YoloFolder, id="yolo-explicit"),
    ],
)
def test_format_of_a_folder(tmp_path, path, keys, kind):
    for name in ("coco", "both"):
        coco_folder(tmp_path / name, [(GREY, [])])
    for name in ("sa", "both"):
        write_entry(tmp_path / name, 1)
    yolo_data_set(tmp_path / "yolo", {"train": [(GREY, None)], "val": [(GREY, None)]})
    opened = RecipeSource(path=path, background_weight=0.3, **keys).open(tmp_path)
    assert type(opened) is kind
    assert opened.sample(0).background_weight == 0.3


def test_quality_thresholds_are_passed_to_the_folder(tmp_path):
    write_entry(tmp_path, 1, predicted_iou=0.8, stability_score=0.6)
    for keys, num_objects in (
        ({"min_predicted_iou": 0.7, "min_stability_score": 0.6}, 1),
        ({"min_predicted_iou": 0.9}, 0),
        ({"min_stability_score": 0.7}, 0),
    ):
        assert len(RecipeSource(path=".", **keys).open(tmp_path).sample(0).objects) == num_objects


@pytest.mark.parametrize(
    ("path", "keys", "message"),
    [
        pytest.param("sa", {"source": "x"}, "in SA-1B format, in which images have no source", id="source"),
        pytest.param("coco", {"min_predicted_iou": 0.5}, "in COCO format, in which masks have no quality", id="iou"),
        pytest.param("coco", {"min_stability_score": 0.5}, "omit min_predicted_iou and", id="stability"),
        pytest.param("coco", {"split": "val"}, "in COCO format, which has no splits; omit split", id="split"),
        pytest.param("yolo", {"source": "x"}, "in YOLO format, in which images have no source", id="yolo-source"),
        pytest.param("yolo", {"min_predicted_iou": 0.5}, "in YOLO format, in which masks have no", id="yolo-iou"),
    ],
)
def test_key_of_the_other_format_is_rejected(tmp_path, path, keys, message):
    coco_folder(tmp_path / "coco", [(GREY, [])])
    write_entry(tmp_path / "sa", 1)
    yolo_data_set(tmp_path / "yolo", {"train": [(GREY, None)]})
    with pytest.raises(ConfigError, match=message):
        RecipeSource(path=path, **keys).open(tmp_path)


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        pytest.param("empty", "auto", "is not a COCO-format folder: instances.json is missing", id="auto"),
        pytest.param("empty", "sa-1b", r"contains no sa_\*\.json", id="sa-1b"),
        pytest.param("nowhere", "sa-1b", "cannot list", id="sa-1b-missing"),
    ],
)
def test_empty_or_missing_folder_is_rejected(tmp_path, path, kind, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        RecipeSource(path=path, format=kind).open(tmp_path)


@pytest.mark.parametrize("path", ["coco", "sa", "yolo", "yolo/coco8-seg.yaml"])
def test_data_set_stands_for_a_recipe(tmp_path, monkeypatch, path):
    coco_folder(tmp_path / "coco", [(GREY, [])])
    write_entry(tmp_path / "sa", 1)
    yolo_data_set(tmp_path / "yolo", {"train": [(GREY, None)], "val": [(GREY, None)] * 2})
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(Path(path))
    (source,), weights = recipe.open_sources(Path("elsewhere"))
    assert (len(source), weights, recipe.settings) == (1, [1.0], {})


def test_missing_folder_is_reported_on_open(tmp_path):
    recipe = load_recipe(write_recipe(tmp_path, "sources: [{path: nowhere}]"))
    with pytest.raises(DataError, match=r"nowhere is not a COCO-format folder"):
        recipe.open_sources(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "the recipe must contain keys and values, got None", id="empty"),
        pytest.param("[1]", "the recipe must contain keys and values, got [1]", id="a-list"),
        pytest.param("sources: [", "is not valid YAML", id="no-yaml"),
        pytest.param("source: []", "source: unknown key; valid keys are sources, scene_weight, ", id="unknown-key"),
        pytest.param(
            "sources: [{path: a, wieght: 2}]",
            "sources.0.wieght: unknown key; valid keys are path, source, weight, background_weight",
            id="unknown-key-of-a-source",
        ),
        pytest.param(
            "sources: [{path: a, format: voc}]", "sources.0.format: Input should be 'auto', 'coco'", id="format"
        ),
        pytest.param(
            "sources: [{path: a, min_predicted_iou: 88}]", "less than or equal to 1, got 88", id="quality-in-percent"
        ),
        pytest.param("sources: [{weight: 2}]", "sources.0.path: Field required", id="no-path"),
        pytest.param("sources: [a]", "sources.0 must contain keys and values, got a", id="source-is-text"),
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
def test_invalid_recipe_is_reported_in_one_line(tmp_path, text, message):
    path = write_recipe(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_every_mistake_has_its_own_line(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_recipe(write_recipe(tmp_path, "sources: [{path: a, weight: 0}, {}]\nscene_weight: -1"))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "prepare", [pytest.param(lambda path: None, id="missing"), pytest.param(Path.mkdir, id="folder")]
)
def test_unreadable_recipe(tmp_path, prepare):
    path = tmp_path / "recipe.yaml"
    prepare(path)
    with pytest.raises(ConfigError, match="cannot read the recipe"):
        load_recipe(path)


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("configs/train-*.yaml")), ids=lambda path: path.name)
def test_recipes_of_the_repository_are_valid(path):
    recipe = load_recipe(path)
    assert recipe.sources
    assert recipe.settings
