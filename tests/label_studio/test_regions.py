"""Clicks and rectangles to prompts, objects to regions, tags of a labelling configuration."""

import numpy as np
import pytest

from streamseg.errors import DataError
from streamseg.label_studio.labels import LabelTags, parse_label_config
from streamseg.label_studio.regions import parse_context, regions_of
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt
from tests.label_studio.test_brush import decode
from tests.support.messages import make_object

SIZE = (50, 200)
CONFIG = """<View>
  <!-- as in Label Studio's template for interactive segmentation -->
  <Image name="image" value="$image" zoom="true"/>
  <BrushLabels name="tag" toName="image"><Label value="Airplane"/><Label value="Car"/></BrushLabels>
  <KeyPointLabels name="tag2" toName="image" smart="true"><Label value="Airplane" smart="true"/></KeyPointLabels>
  <RectangleLabels name="tag3" toName="image" smart="true"><Label value="Airplane" smart="true"/></RectangleLabels>
</View>"""
TAGS = LabelTags("brushlabels", "tag", "image", "image", ("Airplane", "Car"))


def click(x, y, **changes):
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": ["Car"]}
    region = {"original_width": 200, "original_height": 50, "image_rotation": 0, "from_name": "tag2", "value": value}
    return {**region, "to_name": "image", "type": "keypointlabels", "id": "a", "is_positive": True, **changes}


def rectangle(x, y, width, height, **changes):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["Airplane"]}
    return {"value": {**value, **changes}, "to_name": "image", "type": "rectanglelabels", "from_name": "tag3"}


@pytest.mark.parametrize(
    ("regions", "prompt", "label"),
    [
        pytest.param(None, EverythingPrompt("context"), None, id="nothing drawn"),
        pytest.param([], EverythingPrompt("context"), None, id="an empty list"),
        pytest.param([click(50, 20)], PointPrompt("context", ((100, 10),), (1,)), "Car", id="a click"),
        pytest.param(
            [click(50, 20), click(0, 100, is_positive=False), click(25, 50, is_positive=0)],
            PointPrompt("context", ((100, 10), (0, 50), (50, 25)), (1, 0, 0)),
            "Car",
            id="clicks inside and outside",
        ),
        pytest.param(
            [rectangle(10, 20, 40, 60)], BoxPrompt("context", (20, 10, 100, 40)), "Airplane", id="a rectangle"
        ),
        pytest.param(
            [rectangle(10, 20, 40, 60), rectangle(0, 0, 50, 100)],
            BoxPrompt("context", (0, 0, 100, 50)),
            "Airplane",
            id="the last rectangle",
        ),
        pytest.param(
            [click(50, 20, is_positive=False), rectangle(10, 20, 40, 60)],
            PointPrompt("context", ((100, 10), (60, 25)), (0, 1)),
            "Airplane",
            id="a click beside a rectangle",
        ),
        pytest.param([{"type": "brushlabels", "value": {}}], EverythingPrompt("context"), None, id="a brush stroke"),
        pytest.param([click(1e9, -1e9)], PointPrompt("context", ((400, -50),), (1,)), "Car", id="far outside"),
    ],
)
def test_what_is_drawn_is_a_prompt(regions, prompt, label):
    found = parse_context(None if regions is None else {"result": regions}, SIZE)
    assert (found.prompt, found.label) == (prompt, label)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        pytest.param([], "must be a list of at most", id="no object"),
        pytest.param({"result": {}}, "must be a list of at most", id="no list"),
        pytest.param({"result": [click(1, 1)] * 1025}, "must be a list of at most", id="too many"),
        pytest.param({"result": ["x"]}, "must be an object", id="no region"),
        pytest.param({"result": [{"type": "keypoint", "value": 3}]}, "needs a value with x and y", id="no value"),
        pytest.param({"result": [click(None, 1)]}, "x of a region must be a finite number", id="no number"),
        pytest.param({"result": [click(float("nan"), 1)]}, "must be a finite number", id="nan"),
        pytest.param({"result": [click(True, 1)]}, "must be a finite number", id="a boolean"),
        pytest.param({"result": [click(1, 1, image_rotation=90)]}, "is rotated by 90 degrees", id="a rotated image"),
        pytest.param({"result": [rectangle(1, 1, 9, 9, rotation=4)]}, "rotated rectangle", id="a rotated rectangle"),
        pytest.param({"result": [rectangle(9, 9, 0, 5)]}, "x0 < x1", id="an empty rectangle"),
    ],
)
def test_what_is_no_drawing_is_an_error(context, message):
    with pytest.raises(DataError, match=message):
        parse_context(context, SIZE)


def test_objects_are_brush_regions():
    objects = [
        make_object(np.ones((4, 6), np.bool_), 10, 20, score=0.75),
        make_object(np.zeros((0, 0), np.bool_), 0, 0),
    ]
    [region] = regions_of(objects, TAGS, SIZE, "Car")
    assert region.pop("id")
    value = region.pop("value")
    assert region == {
        "from_name": "tag",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": 200,
        "original_height": 50,
        "image_rotation": 0,
        "score": 0.75,
    }
    assert (value["format"], value["brushlabels"]) == ("rle", ["Car"])
    alpha = decode(value["rle"]).reshape(*SIZE, 4)[..., 3]
    assert np.argwhere(alpha)[[0, -1]].tolist() == [[20, 10], [23, 15]]


def test_objects_are_polygons_one_for_each_part():
    crop = np.ones((10, 20), np.bool_)
    crop[:, 8:12] = False
    tags = LabelTags("polygonlabels", "p", "image", "image", ("Thing",))
    regions = regions_of([make_object(crop, 20, 10)], tags, SIZE, "unknown")
    assert [region["value"]["polygonlabels"] for region in regions] == [["Thing"]] * 2
    assert sorted(min(region["value"]["points"]) for region in regions) == [[10.0, 20.0], [16.0, 20.0]]
    assert len({region["id"] for region in regions}) == 2


@pytest.mark.parametrize(
    ("sizes", "num_polygons"),
    [
        pytest.param([20, 2], 1, id="speck"),
        pytest.param([20, 3], 2, id="part"),
        pytest.param([2], 1, id="small object"),
        pytest.param([2, 2, 2], 3, id="small parts of a small object"),
    ],
)
def test_specks_are_no_polygons(sizes: list[int], num_polygons: int):
    crop = np.zeros((20, 30 * len(sizes)), np.bool_)
    for number, side in enumerate(sizes):
        crop[:side, 30 * number : 30 * number + side] = True
    tags = LabelTags("polygonlabels", "p", "image", "image", ("Thing",))
    assert len(regions_of([make_object(crop, 0, 0)], tags, (50, 200), None)) == num_polygons


def test_tags_of_a_configuration():
    assert parse_label_config(CONFIG) == TAGS
    polygons = CONFIG.replace("BrushLabels", "PolygonLabels")
    assert parse_label_config(polygons) == LabelTags("polygonlabels", "tag", "image", "image", ("Airplane", "Car"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param("", "not valid XML", id="empty"),
        pytest.param("<View>", "not valid XML", id="cut"),
        pytest.param(None, "must be XML", id="no text"),
        pytest.param("<View>" + " " * 200_000 + "</View>", "at most 200000 characters", id="too long"),
        pytest.param("<View/>", "needs a tag BrushLabels", id="no tag"),
        pytest.param(CONFIG.replace('value="$image"', 'value="x"'), "needs a tag BrushLabels", id="no data key"),
        pytest.param(CONFIG.replace('name="image" ', ""), "needs a tag BrushLabels", id="no image"),
        pytest.param('<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>', "document type or entities", id="entities"),
    ],
)
def test_configurations_without_a_place_for_masks(config, message):
    with pytest.raises(DataError, match=message):
        parse_label_config(config)
