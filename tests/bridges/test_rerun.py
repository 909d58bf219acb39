"""The log for rerun, read back by its own library."""

import numpy as np
import pytest

from streamseg.errors import ConfigError, DataError
from streamseg.publish.jpeg import SharedJpeg
from tests.support.stages import make_result

pytest.importorskip("rerun", reason="needs the extra rerun")

from streamseg.bridges.rerun import RerunLog


def rows(path, contents: str) -> list[dict]:
    """The rows of the time line `frame` that a query selects."""
    from rerun.dataframe import load_recording

    view = load_recording(path).view(index="frame", contents=contents)
    return view.select().read_all().to_pylist()


@pytest.mark.slow
def test_a_file_holds_images_masks_boxes_and_series(tmp_path):
    path = tmp_path / "sub" / "run.rrd"
    with RerunLog(str(path), SharedJpeg(80)) as log:
        for index in range(5):
            log.write(make_result(index))
    found = rows(path, "/cam/**")
    assert [row["frame"] for row in found] == list(range(5))
    columns = {key: row for row in found for key in row}
    names = {key.split(":")[0] for key in columns}
    assert {"/cam/image", "/cam/image/instances", "/cam/image/boxes", "/cam/age_ms", "/cam/num_objects"} <= names
    pixels = next(value for key, value in found[2].items() if key.startswith("/cam/image/instances") and "uffer" in key)
    assert set(np.asarray(pixels[0], np.uint8).view("<u2")) == {0, 1}
    ages = [next(value for key, value in row.items() if key.startswith("/cam/age_ms")) for row in found]
    assert all(len(age) == 1 for age in ages)


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
