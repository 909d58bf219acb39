import json

import pytest

from streamseg.engines.choices import choice_key, choice_path, read_choice, write_choice


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))


def test_choice_is_remembered_for_its_key_only():
    key = choice_key(weights="a", int8="")
    assert read_choice(key) is None
    write_choice(key, "openvino", {"openvino": 0.0123, "onnx": 0.02})
    assert read_choice(key) == "openvino"
    assert json.loads(choice_path(key).read_text())["milliseconds"] == {"openvino": 12.3, "onnx": 20.0}
    assert read_choice(choice_key(weights="b", int8="")) is None
    write_choice(key, "onnx", {"onnx": 0.02})
    assert read_choice(key) == "onnx"


@pytest.mark.parametrize(
    "entry", ["measurement", "processor", "cpus", "threads", "versions", "graph_version", "weights", "int8"]
)
def test_every_entry_invalidates(entry):
    key = choice_key(weights="a", int8="b")
    write_choice(key, "onnx", {})
    assert read_choice(key | {entry: "another"}) is None


def test_choice_of_the_first_measurement_which_kept_those_of_busy_machines_is_made_again():
    key = choice_key(weights="a", int8="b")
    write_choice({name: value for name, value in key.items() if name != "measurement"}, "onnx", {})
    assert read_choice(key) is None


def test_versions_and_processor_are_stated():
    key = choice_key()
    assert {"streamseg", "torch"} <= json.loads(key["versions"]).keys()
    assert key["processor"]


@pytest.mark.parametrize(
    ("content", "warns"),
    [
        pytest.param(b"", True, id="empty"),
        pytest.param(b'{"engine": "onn', True, id="truncated"),
        pytest.param(b"\xff\xfe\x00", True, id="bytes"),
        pytest.param(b"[]", False, id="list"),
        pytest.param(b"{}", False, id="nothing"),
        pytest.param(b'{"engine": 3, "key": {}}', False, id="of another key"),
    ],
)
def test_damaged_file_is_measured_again(caplog, content, warns):
    key = choice_key(weights="a")
    choice_path(key).parent.mkdir(parents=True)
    choice_path(key).write_bytes(content)
    assert read_choice(key) is None
    assert ("is unreadable, so it is repeated" in caplog.text) is warns
    write_choice(key, "onnx", {})
    assert read_choice(key) == "onnx"
    assert [path.suffix for path in choice_path(key).parent.iterdir()] == [".json"]


def test_folder_that_cannot_be_written_is_logged(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "file"))
    write_choice(choice_key(), "onnx", {})
    assert "is not remembered, so it will be measured again" in caplog.text
