"""The folder of a collected data set: limits, crashes, other programs, a full disk."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.collecting import Record
from streamseg.datasets.coco_folder import CocoFolder
from streamseg.errors import DataError
from streamseg.publish.jpeg import encode_jpeg
from streamseg.rle import crop_to_coco
from streamseg.runtime.collected_folder import CollectedFolder
from streamseg.runtime.collected_journal import CollectedJournal
from streamseg.structures.mask import CropMask
from tests.support.limits import limited_file_size

SIZE = (48, 64)
JPEG = encode_jpeg(np.full((*SIZE, 3), 90, np.uint8), 90)
MASK = CropMask(np.ones((16, 16), np.bool_), 8, 16)


def record(*, is_click=False, num_annotations=1, iscrowd=1, **image):
    annotation = {"category_id": 1, "segmentation": crop_to_coco(MASK, SIZE), "iscrowd": iscrowd, "reason": "lost"}
    shape = {"width": SIZE[1], "height": SIZE[0], "partly_labelled": True}
    return Record({**shape, **image}, (annotation,) * num_annotations, is_click)


def instances(folder):
    return json.loads((folder / "instances.json").read_text())


def ids(folder):
    return [one["id"] for one in instances(folder)["images"]]


def test_what_is_added_is_a_data_set(tmp_path):
    with CollectedFolder(tmp_path / "new" / "data") as folder:
        folder.add(record(source="cam"), JPEG)
        folder.add(record(num_annotations=2, iscrowd=0), JPEG)
        assert (len(folder), folder.reasons()) == (2, {"lost": 3})
    folder.close()
    content = instances(folder.folder)
    assert [(one["id"], one["image_id"]) for one in content["annotations"]] == [(1, 1), (2, 2), (3, 2)]
    samples = CocoFolder(folder.folder, background_weight=1.0)
    first, second = samples.sample(0), samples.sample(1)
    assert (first.background_weight, second.background_weight) == (0.0, 0.0)
    assert [one.is_crowd for one in (*first.objects, *second.objects)] == [True, False, False]
    assert second.objects[0].mask.area == 256
    assert sorted(one.name for one in folder.folder.iterdir()) == ["images", "instances.json", "journal.jsonl"]


def test_a_folder_is_continued(tmp_path):
    for _ in range(2):
        with CollectedFolder(tmp_path) as folder:
            folder.add(record(), JPEG)
    assert ids(tmp_path) == [1, 2]


def test_the_oldest_images_without_a_click_are_deleted_first(tmp_path):
    with CollectedFolder(tmp_path, max_images=3) as folder:
        for is_click in (False, True, False, True, False, True, True):
            folder.add(record(is_click=is_click), JPEG)
    assert ids(tmp_path) == [4, 6, 7]
    assert sorted(int(path.stem) for path in (tmp_path / "images").iterdir()) == [4, 6, 7]


def test_the_size_is_limited(tmp_path):
    with CollectedFolder(tmp_path, keep_bytes=4 * len(JPEG)) as folder:
        for _ in range(9):
            folder.add(record(), JPEG)
            assert folder.num_bytes <= 4 * len(JPEG)
    assert ids(tmp_path)[-1] == 9
    with CollectedFolder(tmp_path, keep_bytes=1):
        pass
    assert ids(tmp_path) == []
    with CollectedFolder(tmp_path) as folder:
        folder.add(record(), JPEG)
    assert ids(tmp_path) == [10], "ids are never used again"


def test_a_long_run_does_not_let_the_journal_grow(tmp_path, monkeypatch):
    monkeypatch.setattr("streamseg.runtime.collected_folder.MAX_DEAD_LINES", 5)
    with CollectedFolder(tmp_path, max_images=2) as folder:
        for _ in range(30):
            folder.add(record(), JPEG)
    assert ids(tmp_path) == [29, 30]
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) < 20


@given(cut=st.integers(0, 3000), num_images=st.integers(0, 4))
@settings(max_examples=30, deadline=None)
def test_a_killed_run_loses_only_what_is_incomplete(tmp_path_factory, cut, num_images):
    tmp_path = tmp_path_factory.mktemp("killed")
    with CollectedFolder(tmp_path) as folder:
        for _ in range(num_images):
            folder.add(record(), JPEG)
    (tmp_path / "instances.json").unlink()  # a run writes it when it ends
    journal = tmp_path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines)[:cut])
    complete = [json.loads(line) for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    expected = [one["image"]["id"] for one in complete if "image" in one]
    (tmp_path / "images" / "00000099.jpg.partial").write_bytes(JPEG[:9])
    with CollectedFolder(tmp_path) as folder:
        assert len(folder) == len(expected)
        if expected:
            assert ids(tmp_path) == expected, "complete as soon as it is opened"
        folder.add(record(), JPEG)
    assert len(ids(tmp_path)) == len(expected) + 1
    assert len(list((tmp_path / "images").iterdir())) == len(expected) + 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("instances.json", '{"images": []}', "is of another data set", id="another data set"),
        pytest.param("journal.jsonl", "[]\n{}\n", "line 1 .* is damaged", id="not a journal"),
        pytest.param("journal.jsonl", '{"image": {"id": "x"}}\n', "line 1 .* is damaged", id="damaged"),
        pytest.param("journal.jsonl", '{"instances": "a"}\nnonsense\n', "line 2 .* is damaged", id="no JSON"),
        pytest.param("images", "", "cannot collect images in .*: .*images is a file, not a folder", id="no folder"),
    ],
)
def test_a_folder_that_cannot_be_continued_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        CollectedFolder(tmp_path)
    assert (tmp_path / name).read_text() == content


def test_reviewed_labels_are_never_replaced(tmp_path):
    with CollectedFolder(tmp_path) as folder:
        folder.add(record(), JPEG)
    reviewed = (tmp_path / "instances.json").read_text().replace('"iscrowd":1', '"iscrowd":0')
    (tmp_path / "instances.json").write_text(reviewed)
    with pytest.raises(DataError, match="was changed by another program; collect into another folder"):
        CollectedFolder(tmp_path, max_images=1)
    assert (tmp_path / "instances.json").read_text() == reviewed


def test_a_run_that_was_killed_while_it_wrote_the_labels_is_continued(tmp_path):
    with CollectedFolder(tmp_path) as folder:
        folder.add(record(), JPEG)
    with CollectedJournal(tmp_path / "journal.jsonl") as journal:
        journal.note_digest("of a file that was never put in its place")
    with CollectedFolder(tmp_path) as folder:
        assert len(folder) == 1


def test_one_writer_at_a_time(tmp_path):
    with CollectedFolder(tmp_path), pytest.raises(DataError, match="is being written by another run"):
        CollectedFolder(tmp_path)


def test_a_full_disk_leaves_no_part_of_an_image(tmp_path):
    with CollectedFolder(tmp_path) as folder:
        folder.add(record(), JPEG)
        with limited_file_size(len(JPEG) - 1), pytest.raises(DataError, match="cannot collect images in"):
            folder.add(record(), JPEG)
        assert len(list((tmp_path / "images").iterdir())) == 1
        journal = (tmp_path / "journal.jsonl").stat().st_size
        with limited_file_size(max(journal + 1, len(JPEG))), pytest.raises(DataError, match="cannot collect images in"):
            folder.add(record(num_annotations=20), JPEG)
        assert len(list((tmp_path / "images").iterdir())) == 1
        folder.add(record(), JPEG)
    assert ids(tmp_path) == [1, 2]
