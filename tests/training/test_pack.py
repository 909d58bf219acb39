import json

import cv2
import numpy as np
import pytest
import yaml

from streamseg.datasets.coco import annotation_mask, read_images
from streamseg.errors import DataError
from streamseg.training.pack import pack_recipe
from streamseg.training.recipe import Recipe, load_recipe
from tests.support.datasets import coco_folder, compressed, write_sa1b_entry
from tests.support.images import disc, paint, rectangle

SIZE = (90, 120)
MASK = disc(SIZE, 60, 45, 30)
PART = rectangle(SIZE, 50, 40, 70, 60)
IMAGE = paint([MASK], [(200, 30, 30)], SIZE)


def annotated(**keys):
    return {"segmentation": compressed(MASK)} | keys


def packed(recipe, data, *, max_side=60, quality=90, **options):
    """Pack; return the summary and the packed recipe."""
    summary = pack_recipe(recipe, data, data / "packed", max_side=max_side, quality=quality, **options)
    return summary, load_recipe(data / "packed" / "recipe.yaml")


def test_images_and_masks_are_shrunk_together(tmp_path):
    labels = [
        annotated(source_category="ball"),
        annotated(iscrowd=1),
        {"segmentation": compressed(PART), "level": "part"},
    ]
    coco_folder(tmp_path / "a", [(IMAGE, labels), (IMAGE[:40, :30], [])])
    summary, recipe = packed(Recipe.model_validate({"sources": [{"path": "a"}]}), tmp_path)
    assert (summary.num_images, summary.num_annotations) == (2, 3)
    files = [file for file in (tmp_path / "packed").rglob("*") if file.is_file()]
    assert summary.num_bytes == sum(file.stat().st_size for file in files)
    assert len(files) == 4
    first, second = read_images(tmp_path / "packed" / "a")
    assert (first.size, second.size) == ((45, 60), (40, 30))
    assert [(one.label, one.is_crowd, one.is_part) for one in first.annotations] == [
        ("ball", False, False),
        ("object", True, False),
        ("object", False, True),
    ]
    mask = annotation_mask(first.annotations[0], first.size)
    assert (mask.full(first.size) ^ disc(first.size, 30, 22.5, 15)).mean() < 0.01
    assert first.annotations[0].area == mask.area
    sample = recipe.open_sources(tmp_path / "packed")[0][0].sample(0)
    colour = np.median(sample.image[sample.objects[0].mask.full(first.size)], axis=0)
    assert np.abs(colour - (200, 30, 30)).max() < 12


def test_held_out_images_are_not_packed(tmp_path):
    images = [np.full((40, 30, 3), 20 * number, np.uint8) for number in range(8)]
    coco_folder(tmp_path / "a", [(image, []) for image in images])
    source = Recipe.model_validate({"sources": [{"path": "a"}], "hold_out": 4})
    summary, recipe = packed(source, tmp_path)
    assert (summary.num_images, recipe.hold_out) == (6, None)
    drawn, original = (
        one.open_sources(data)[0][0] for one, data in ((recipe, tmp_path / "packed"), (source, tmp_path))
    )
    means = [[folder.sample(index).image.mean() for index in range(len(folder))] for folder in (drawn, original)]
    np.testing.assert_allclose(*means, atol=2)


def test_small_jpeg_files_are_copied_unchanged(tmp_path):
    coco_folder(tmp_path / "a", [(IMAGE, [])], edit=lambda content: content["images"][0].update(file_name="1.jpg"))
    original = tmp_path / "a" / "images" / "1.jpg"
    assert cv2.imwrite(str(original), IMAGE)
    packed(Recipe.model_validate({"sources": [{"path": "a"}]}), tmp_path, max_side=120)
    assert (tmp_path / "packed" / "a" / "images" / "000001.jpg").read_bytes() == original.read_bytes()


def test_vanishing_mask_is_omitted(tmp_path):
    coco_folder(tmp_path / "a", [(IMAGE, [{"segmentation": compressed(rectangle(SIZE, 7, 7, 8, 8))}])])
    assert packed(Recipe.model_validate({"sources": [{"path": "a"}]}), tmp_path, max_side=32)[0].num_annotations == 0


def test_sources_of_one_folder_are_packed_once_and_in_order(tmp_path):
    labelled_images = [(paint([MASK], [(20 * k, 90, 90)], SIZE), [annotated()] * k) for k in range(5)]
    coco_folder(tmp_path / "x" / "a", labelled_images, images=[{"source": name} for name in "babcb"])
    coco_folder(tmp_path / "y" / "a", labelled_images[:1])
    sources = [
        {"path": "x/a", "source": "b", "weight": 3, "background_weight": 0.5},
        {"path": "x/a", "source": "a", "weight": 2},
        {"path": "y/a"},
    ]
    before = Recipe.model_validate({"sources": sources, "scene_weight": 0.1, "imgsz": 96, "settings": {"seed": 4}})
    summary, after = packed(before, tmp_path)
    assert summary.num_images == 5  # without the image of source c
    assert [one.path for one in after.sources] == ["a", "a", "a-2"]
    assert (after.scene_weight, after.imgsz, after.settings) == (0.1, 96, {"seed": 4})
    for one, other in zip(before.sources, after.sources, strict=True):
        assert one == other.model_copy(update={"path": one.path})
        opened, reopened = one.open(tmp_path), other.open(tmp_path / "packed")
        assert len(opened) == len(reopened)
        for index in range(len(opened)):
            assert len(opened.entry(index).annotations) == len(reopened.entry(index).annotations)


def test_sa_1b_is_converted_to_coco_with_filtered_masks(tmp_path):
    for number in (3, 1):
        write_sa1b_entry(tmp_path / "sa", number, [MASK, PART], size=SIZE, predicted_iou=[0.9, 0.7])
    keys = {"path": "sa", "format": "sa-1b", "min_predicted_iou": 0.8}
    summary, recipe = packed(Recipe.model_validate({"sources": [keys]}), tmp_path)
    assert (summary.num_images, summary.num_annotations) == (2, 2)
    assert yaml.safe_load((tmp_path / "packed" / "recipe.yaml").read_text()) == {"sources": [{"path": "sa"}]}
    assert len(recipe.sources[0].open(tmp_path / "packed")) == 2


def test_errors_are_reported_before_writing(tmp_path):
    coco_folder(tmp_path / "a", [(IMAGE, [])])
    for sources, message in (
        ([{"path": "a"}, {"path": "nowhere"}], "is not a COCO-format folder"),
        ([{"path": "a", "source": "z"}], "has no image with source 'z'"),
    ):
        with pytest.raises(DataError, match=message):
            packed(Recipe.model_validate({"sources": sources}), tmp_path)
    assert not (tmp_path / "packed").exists()


def test_broken_annotation_is_reported(tmp_path):
    coco_folder(tmp_path / "a", [(IMAGE, [{"segmentation": [[0, 0, 500, 0, 500, 50]]}])])
    with pytest.raises(DataError, match="the polygon leaves the image"):
        packed(Recipe.model_validate({"sources": [{"path": "a"}]}), tmp_path)
    assert not (tmp_path / "packed" / "a" / "instances.json").exists()


def test_existing_data_is_not_overwritten(tmp_path):
    coco_folder(tmp_path / "a", [(IMAGE, [])])
    coco_folder(tmp_path / "packed", [(IMAGE, [])])
    before = json.loads((tmp_path / "packed" / "instances.json").read_text())
    with pytest.raises(DataError, match="is not empty; choose another folder"):
        packed(Recipe.model_validate({"sources": [{"path": "a"}]}), tmp_path)
    assert json.loads((tmp_path / "packed" / "instances.json").read_text()) == before
