import json
import os

import pytest

from streamseg.datasets.coco_writer import mask_entry, new_folder, write_instances
from streamseg.errors import DataError
from tests.support.datasets import compressed
from tests.support.images import crop_of, disc

SIZE = (30, 40)
MASK = disc(SIZE, 20, 15, 8)


def test_mask_is_written_in_coco_format():
    entry = mask_entry(crop_of(MASK), SIZE)
    assert entry == {"segmentation": compressed(MASK), "bbox": [12, 7, 16, 16], "area": int(MASK.sum())}
    assert json.loads(json.dumps(entry)) == entry


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
def test_file_is_replaced_atomically(tmp_path):
    for content in ({"images": [1]}, {"images": []}):
        write_instances(tmp_path, content)
        assert json.loads((tmp_path / "instances.json").read_text()) == content
    (tmp_path / "instances.json.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        write_instances(tmp_path, {"images": [2]})
    assert json.loads((tmp_path / "instances.json").read_text()) == {"images": []}
    assert os.listdir(tmp_path) == ["instances.json"]


def test_new_folder_is_created(tmp_path):
    with new_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").write_text("")
    with pytest.raises(DataError, match="is not empty; choose another folder"), new_folder(tmp_path / "a" / "b"):
        pytest.fail("entered")
    (tmp_path / "c").mkdir()
    with new_folder(tmp_path / "c"):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
def test_full_disk_is_reported(tmp_path):
    (tmp_path / "file").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot write into .*: No space left on device"), new_folder(tmp_path / "a"):
        (tmp_path / "file").write_text("x")
