"""The MCAP sink: files, limits and errors."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mcap", reason="needs the extra record")
pytest.importorskip("rosbags", reason="needs the extra record")

from mcap.reader import make_reader

from streamseg.errors import DataError
from streamseg.publish.jpeg import SharedJpeg
from streamseg.runtime.mcap_file import McapFile
from tests.support.limits import limited_file_size
from tests.support.stages import make_result


def open_file(path: Path, *, quality: int = 80, **settings) -> McapFile:
    return McapFile(path, encode_image=SharedJpeg(quality), **settings)


def num_messages(path: Path, topic: str = "/detections") -> int:
    """Number of messages of a topic, in a file with an index or without."""
    with path.open("rb") as file:
        return sum(channel.topic.endswith(topic) for _, channel, _ in make_reader(file).iter_messages())


def test_each_frame_is_in_the_file_and_nothing_before_the_first(tmp_path):
    path = tmp_path / "sub" / "run.mcap"
    sink = open_file(path)
    assert not path.exists()
    for index in range(5):
        sink.write(make_result(index))
    sink.close()
    sink.close()
    assert num_messages(path) == num_messages(path, "/image/compressed") == 5
    assert sink.paths == [path]
    assert [one.name for one in path.parent.iterdir()] == ["run.mcap"]


def test_the_two_newest_files_are_kept_if_the_size_is_limited(tmp_path):
    sink = open_file(tmp_path / "run.mcap", max_bytes=1)
    for index in range(4):
        sink.write(make_result(index))
    sink.close()
    assert sink.paths == [tmp_path / "run-4.mcap"]
    assert sorted(one.name for one in tmp_path.glob("*.mcap")) == [one.name for one in sink.paths]
    assert num_messages(sink.paths[-1]) == 1


@pytest.mark.parametrize("name", ["run", "run.bag", "run.mp4"])
def test_another_suffix_is_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"must end in \.mcap"):
        open_file(tmp_path / name)


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "run.mcap").mkdir()
    with pytest.raises(DataError, match="it is a folder; name a file"):
        open_file(tmp_path / "run.mcap")


def test_a_second_run_is_refused_until_the_first_one_ends(tmp_path):
    first = open_file(tmp_path / "run.mcap")
    with pytest.raises(DataError, match="another run"):
        open_file(tmp_path / "run.mcap")
    first.close()
    open_file(tmp_path / "run.mcap").close()


def test_a_full_disk_leaves_a_readable_file_and_the_next_frame_begins_another(tmp_path):
    sink = open_file(tmp_path / "run.mcap", quality=100)
    rng = np.random.default_rng(0)
    results = [make_result(index) for index in range(60)]
    for result in results:
        result.frame.image[...] = rng.integers(0, 256, result.frame.image.shape, dtype=np.uint8)
    written = 0
    with limited_file_size(200_000):
        try:
            for result in results:
                sink.write(result)
                written += 1
        except DataError as error:
            message = str(error)
    assert 0 < written < len(results)
    assert json.dumps(message).count("\\n") == 0
    assert "cannot write" in message
    assert (tmp_path / "run.mcap").stat().st_size <= 200_000
    with limited_file_size(10):
        for _ in range(3):
            with pytest.raises(DataError, match="cannot write"):
                sink.write(results[-1])
    assert [one.name for one in tmp_path.glob("*.mcap")] == ["run.mcap"], "no empty files"
    sink.write(results[-1])
    sink.close()
    assert sink.paths == [tmp_path / "run.mcap", tmp_path / "run-2.mcap"]
    assert num_messages(tmp_path / "run-2.mcap") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_incomplete_end_that_remains_is_part_of_the_error(tmp_path):
    (tmp_path / "run.mcap").symlink_to("/dev/full")
    sink = open_file(tmp_path / "run.mcap")
    with pytest.raises(DataError, match=r"No space left .*, and its incomplete end cannot be removed") as caught:
        sink.write(make_result(0))
    assert "\n" not in str(caught.value)
    sink.close()
