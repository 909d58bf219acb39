from contextlib import closing

import av.error
import pytest

from streamseg.capture.container import open_video, start_seconds
from streamseg.errors import SourceError
from tests.support.videos import write_video


def test_the_video_among_other_streams(tmp_path):
    container, stream = open_video(str(write_video(tmp_path / "a.mp4", 3)), name="a", options={})
    with closing(container):
        assert stream.type == "video"
        assert start_seconds(stream) == 0.0


def test_where_the_time_line_begins(tmp_path):
    path = write_video(tmp_path / "a.ts", 3, container_options={"output_ts_offset": "1.4"})
    container, stream = open_video(str(path), name="a", options={})
    with closing(container):
        assert start_seconds(stream) == pytest.approx(1.4)


def test_messages_use_the_name_that_may_be_shown(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("hello\n" * 200)
    with pytest.raises(SourceError, match=r"^the door holds no video, only text; give a video file") as error:
        open_video(str(path), name="the door", options={})
    assert "secret" not in str(error.value)


def test_what_cannot_be_opened_is_ffmpegs_own_error(tmp_path):
    with pytest.raises(av.error.FileNotFoundError):
        open_video(str(tmp_path / "gone.mp4"), name="gone", options={})
