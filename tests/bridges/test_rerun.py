"""The log for rerun, read back by its own library."""

import numpy as np
import pytest

from streamseg.errors import ConfigError, DataError
from streamseg.publish.jpeg import SharedJpeg
from tests.support.stages import make_result

pytest.importorskip("rerun", reason="needs the extra rerun")

from streamseg.bridges.rerun import RerunLog


def columns(path, entity: str) -> dict[str, list]:
    """The values of an entity by the last part of their column's name, in the order of the time line `frame`."""
    reader = pytest.importorskip("rerun.chunk", reason="reading files needs a newer rerun-sdk").RrdReader(path)
    found = [
        chunk.to_record_batch() for chunk in reader.stream() if chunk.entity_path == entity and not chunk.is_static
    ]
    rows = sorted((row for batch in found for row in batch.to_pylist()), key=lambda row: row["frame"])
    return {name.rpartition(":")[2]: [row.get(name) for row in rows] for name in found[0].schema.names}


@pytest.mark.slow
def test_a_file_holds_images_masks_boxes_and_series(tmp_path):
    path = tmp_path / "sub" / "run.rrd"
    results = [make_result(index) for index in range(5)]
    with RerunLog(str(path), SharedJpeg(80)) as log:
        for result in results:
            log.write(result)
    image = columns(path, "/cam/image")
    assert image["frame"] == list(range(5))
    assert bytes(image["blob"][0][0]) == SharedJpeg(80)(results[0].frame.image)
    masks = columns(path, "/cam/image/instances")
    assert set(np.asarray(masks["buffer"][2][0], np.uint8).view("<u2")) == {0, 1}
    boxes = columns(path, "/cam/image/boxes")
    assert boxes["class_ids"] == [[1]] * 5
    assert boxes["labels"][0] == ["1 0.90"]
    assert columns(path, "/cam/age_ms")["scalars"] == [[result.message.age_ms] for result in results]


def test_a_target_that_is_neither_file_nor_address_is_refused():
    with pytest.raises(ConfigError, match=r"a file \*\.rrd or to the address of a viewer"):
        RerunLog("run.mp4", SharedJpeg(80))


def test_a_second_run_is_refused_until_the_first_one_ends(tmp_path):
    first = RerunLog(str(tmp_path / "run.rrd"), SharedJpeg(80))
    with pytest.raises(DataError, match="another run"):
        RerunLog(str(tmp_path / "run.rrd"), SharedJpeg(80))
    first.close()
    first.close()
    RerunLog(str(tmp_path / "run.rrd"), SharedJpeg(80)).close()


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "run.rrd").mkdir()
    with pytest.raises(DataError, match="folder"):
        RerunLog(str(tmp_path / "run.rrd"), SharedJpeg(80))
