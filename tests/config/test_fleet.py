"""The configuration of a fleet: the file in configs/, checks, one-line errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamseg.config import FleetConfig, load_fleet_config, parse_source_section
from streamseg.config.fleet import WorkerConfig, reads_every_frame
from streamseg.errors import ConfigError
from tests.support.paths import REPOSITORY

FILE = REPOSITORY / "configs" / "fleet.yaml"
OF_A_RUN = {
    "batching",
    "degradation",
    "segmentation",
    "tracking",
    "prompts",
    "mode",
    "zones",
    "text",
    "quality",
    "follow",
}
SCENE = {"type": "scene", "id": "a"}


def write(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "cameras.yaml"
    path.write_text(yaml.safe_dump({"cameras": [SCENE], **values}), encoding="utf-8")
    return path


def test_the_example_lists_every_key_with_its_default():
    values = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert set(values) == set(FleetConfig.model_fields) - OF_A_RUN
    loaded, default = load_fleet_config(FILE), FleetConfig.model_validate({"cameras": [SCENE]})
    changed = {name for name in FleetConfig.model_fields if getattr(loaded, name) != getattr(default, name)}
    assert changed == {"workers", "cameras"}
    (worker,) = values["workers"]
    assert set(worker) == set(WorkerConfig.model_fields)
    assert loaded.workers[0] == WorkerConfig(name="worker", count=2)
    assert loaded.camera_ids() == ["door", "yard"]
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if re.match(r"^  +(- )?\w+: \S", line) and "type:" not in line and "id:" not in line and "url:" not in line:
            assert re.search(r"  +# \S", line), line


def test_cameras_without_an_id_are_numbered():
    config = FleetConfig.model_validate({"cameras": [{"type": "scene"}, SCENE, {"type": "scene"}]})
    assert [camera.id for camera in config.named_cameras()] == ["scene0", "a", "scene2"]


def test_settings_of_the_command_line(tmp_path: Path):
    path = write(tmp_path, {})
    config = load_fleet_config(path, sets=["placement.cost_ms=7", "cameras.0.max_fps=5"])
    assert (config.placement.cost_ms, config.cameras[0].max_fps) == (7.0, 5.0)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        pytest.param({"cameras": []}, "cameras: ", id="no-camera"),
        pytest.param({"camera": 1}, "camera: unknown key; did you mean 'cameras'?", id="unknown-key"),
        pytest.param(
            {"workers": [{"name": "w", "gpu": 1}]}, "workers.0.gpu: unknown key; did you mean 'gpus'?", id="nested-key"
        ),
        pytest.param({"cameras": [{"type": "scene", "fsp": 5}]}, "did you mean 'fps'?", id="key-of-a-camera"),
        pytest.param({"workers": [{"name": "w", "gpus": 1.5}]}, "a fraction of one GPU or a whole", id="half-of-three"),
        pytest.param({"workers": [{"name": "w"}, {"name": "w"}]}, "occur twice: w", id="worker-twice"),
        pytest.param({"cameras": [SCENE, SCENE]}, "camera ids must be unique, these occur twice: a", id="camera-twice"),
        pytest.param({"cameras": [{**SCENE, "id": "fleet.standby"}]}, "choose another id", id="standby"),
        pytest.param({"cameras": [{"type": "ros", "topic": "/a"}]}, "use streamseg ros", id="ros"),
        pytest.param({"placement": {"pins": {"x": "worker"}}}, "names unknown cameras: x", id="unknown-pin"),
        pytest.param({"placement": {"pins": {"a": "w"}}}, "a has the unknown worker 'w'", id="pin-to-no-worker"),
        pytest.param(
            {"workers": [{"name": "w", "count": 2}], "placement": {"pins": {"a": "w2"}}}, "worker 'w2'", id="pin-beyond"
        ),
        pytest.param({"heartbeat_seconds": 3}, "at least three times heartbeat_seconds, got 4 and 3", id="heartbeat"),
        pytest.param({"publish": {"endpoint": None}}, "publish.endpoint is required", id="no-endpoint"),
        pytest.param(
            {"publish": {"single_endpoint": "tcp://127.0.0.1:1"}}, "single_endpoint is not available", id="single"
        ),
        pytest.param(
            {"prompts": [{"id": "p", "text": "a dog", "source": "b"}]}, "prompt 'p' refers to the unknown", id="prompt"
        ),
        pytest.param(
            {"mode": "fastsam", "quality": {"model": "mobile-sam"}}, "requires mode: streamseg", id="as-of-a-run"
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, values: dict[str, Any], error: str):
    with pytest.raises(ConfigError) as caught:
        load_fleet_config(write(tmp_path, values))
    (line,) = str(caught.value).splitlines()
    assert error in line


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"type": "scene"}, False),
        ({"type": "scene", "mode": "every_frame"}, True),
        ({"type": "stream", "url": "a.mp4"}, True),
        ({"type": "stream", "url": "a.mp4", "mode": "live"}, False),
        ({"type": "stream", "url": "rtsp://a/b"}, False),
        ({"type": "images", "path": "a"}, True),
        ({"type": "recording", "path": "a"}, False),
        ({"type": "webcam"}, False),
    ],
)
def test_sources_that_deliver_every_frame(section: dict[str, Any], expected: bool):
    assert reads_every_frame(parse_source_section(section)) is expected


@pytest.mark.parametrize(
    ("count", "worker"), [(1, "w"), (3, "w2"), ("auto", "w12")], ids=["one", "several", "as-many-as-fit"]
)
def test_pins(tmp_path: Path, count: int | str, worker: str):
    values = {"workers": [{"name": "w", "count": count}], "placement": {"pins": {"a": worker}}}
    assert load_fleet_config(write(tmp_path, values)).placement.pins == {"a": worker}
