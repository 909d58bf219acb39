"""The sinks that a configuration asks for, and their end if the run does not start."""

import contextlib

import pytest

from streamseg.config import Config
from streamseg.errors import ConfigError, DataError
from streamseg.publish.jpeg import SharedJpeg
from streamseg.runtime.outputs import open_outputs


def kinds(folder, output):
    paths = {key: str(folder / name) if isinstance(name, str) else name for key, name in output.items()}
    with contextlib.ExitStack() as unowned:
        return [type(one).__name__ for one in open_outputs(Config(output=paths), SharedJpeg(80), unowned)]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param({}, [], id="none"),
        pytest.param({"messages": "run.jsonl"}, ["MessageFile"], id="messages"),
        pytest.param({"recording": "runs", "keep_gb": 0.5}, ["Recorder"], id="recording"),
        pytest.param({"recording": "runs", "messages": "run.jsonl"}, ["MessageFile", "Recorder"], id="in their order"),
    ],
)
def test_sinks_of_a_configuration(tmp_path, output, expected):
    assert kinds(tmp_path, output) == expected


def test_mcap(tmp_path):
    pytest.importorskip("mcap", reason="needs the extra record")
    pytest.importorskip("rosbags", reason="needs the extra record")
    assert kinds(tmp_path, {"mcap": "run.mcap", "mcap_max_gb": 1}) == ["McapFile"]


def test_an_output_is_released_if_another_one_cannot_be_opened(tmp_path):
    (tmp_path / "folder.mcap").mkdir()
    messages = {"messages": str(tmp_path / "run.jsonl")}
    with pytest.raises(DataError), contextlib.ExitStack() as unowned:
        open_outputs(Config(output={**messages, "mcap": str(tmp_path / "folder.mcap")}), SharedJpeg(80), unowned)
    # A second claim of the same file succeeds only if the first one was released.
    assert kinds(tmp_path, {"messages": "run.jsonl"}) == ["MessageFile"]


def test_images_for_people(tmp_path):
    config = Config(publish={"imagezmq": "tcp://127.0.0.1:0"})
    with contextlib.ExitStack() as unowned:
        assert [type(one).__name__ for one in open_outputs(config, SharedJpeg(80), unowned)] == ["ImageZmqSink"]
    with pytest.raises(ConfigError, match="there is no virtual webcam"):
        kinds(tmp_path, {"webcam": "video9"})
