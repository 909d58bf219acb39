"""The forms in which `Segmenter` takes images, and what it returns for each."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from streamseg.errors import DataError
from streamseg.fastsam.mode import ReferenceSegmenter
from streamseg.segmentation import ImageInstances, Segmenter
from streamseg.structures.search_regions import NO_REGIONS
from tests.support.scripted_engine import ScriptedEngine, grey

VALUES = range(40, 60)


def open_segmenter(kind=Segmenter):
    """A segmenter that finds value - 40 objects in a grey image of this value."""
    objects = {value: [([i * 3, 0, i * 3 + 2, 60], 0.9 - i / 100) for i in range(value - 40)] for value in VALUES}
    engine = ScriptedEngine(objects)
    return kind(engine=engine, imgsz=64), engine


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(grey(43), id="array"),
        pytest.param(torch.from_numpy(grey(43)).permute(2, 0, 1) / 255, id="tensor"),
        pytest.param(Image.fromarray(grey(43)), id="PIL"),
    ],
)
@pytest.mark.parametrize("kind", [Segmenter, ReferenceSegmenter])
def test_one_image_gives_its_instances(source, kind):
    segmenter, _ = open_segmenter(kind)
    found = segmenter(source)
    assert isinstance(found, ImageInstances)
    assert len(found) == 3
    assert np.array_equal(found.image, grey(43))


def test_one_file(tmp_path):
    Image.fromarray(grey(43)).save(tmp_path / "a.png")
    segmenter, _ = open_segmenter()
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert len(segmenter(path)) == 3


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(list, id="list"),
        pytest.param(tuple, id="tuple"),
        pytest.param(np.stack, id="batch of arrays"),
        pytest.param(lambda images: torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), id="batch of tensors"),
        pytest.param(lambda images: dict(enumerate(images)).values(), id="another iterable"),
        pytest.param(lambda images: [Image.fromarray(images[0]), *images[1:]], id="mixed"),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_several_images_give_a_list(make, count):
    segmenter, engine = open_segmenter()
    found = segmenter(make([grey(41 + i) for i in range(count)]))
    assert isinstance(found, list)
    assert [len(instances) for instances in found] == [1, 2, 3][:count]
    assert [int(instances.image[0, 0, 0]) for instances in found] == [41, 42, 43][:count]
    assert [shape[0] for shape in engine.shapes] == [count]


@pytest.mark.parametrize("source", [[], (), np.zeros((0, 4, 4, 3), np.uint8)], ids=["list", "tuple", "batch"])
def test_no_images_give_an_empty_list(source):
    segmenter, _ = open_segmenter()
    assert segmenter(source) == []


def test_generator_gives_a_generator_that_reads_one_image_at_a_time():
    segmenter, engine = open_segmenter()
    read = []

    def endless():
        while True:
            read.append(40 + len(read))
            yield grey(read[-1])

    found = segmenter(endless())
    assert isinstance(found, Iterator)
    assert read == []
    assert [len(next(found)) for _ in range(3)] == [0, 1, 2]
    assert read == [40, 41, 42]
    assert len(engine.shapes) == 3


def test_few_files_are_read_at_once(tmp_path):
    paths = []
    for value in VALUES:
        paths.append(tmp_path / f"{value}.png")
        Image.fromarray(grey(value)).save(paths[-1])
    segmenter, engine = open_segmenter()
    assert [len(found) for found in segmenter(paths)] == list(range(20))
    assert [shape[0] for shape in engine.shapes] == [8, 8, 4]


def test_bgr():
    red_first = np.dstack([grey(43)[:, :, 0], grey(0)[:, :, 0], grey(9)[:, :, 0]])
    segmenter, _ = open_segmenter()
    assert len(segmenter(red_first)) == 3
    blue_first = red_first[:, :, ::-1]
    assert len(segmenter(blue_first)) == 0
    found = segmenter(blue_first, bgr=True)
    assert len(found) == 3
    assert np.array_equal(found.image, red_first)
    assert len(segmenter([blue_first], bgr=True)[0]) == 3
    assert len(segmenter([blue_first], [NO_REGIONS], bgr=True)[0]) == 3


def test_with_regions_instances_do_not_keep_their_image():
    segmenter, _ = open_segmenter()
    (with_regions,) = segmenter([grey(43)], [NO_REGIONS])
    (without,) = segmenter([grey(43)])
    assert with_regions.image is None
    assert torch.equal(with_regions.boxes, without.boxes)
    assert torch.equal(with_regions.mask_logits, without.mask_logits)


@pytest.mark.parametrize("source", [7, None, {}], ids=["number", "None", "dict"])
def test_other_types(source):
    segmenter, engine = open_segmenter()
    with pytest.raises(DataError, match="an image must be a path"):
        segmenter(source)
    assert engine.shapes == []
