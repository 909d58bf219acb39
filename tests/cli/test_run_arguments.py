import argparse
from pathlib import Path

import pytest

from streamseg.cli.parser import Parser
from streamseg.cli.run_arguments import add_config_arguments, config_from_arguments, is_config_file
from streamseg.config import Config, SceneSource, StreamSource, WebcamSource
from streamseg.errors import ConfigError

YAML = "sources: [{type: stream, id: yard, url: rtsp://127.0.0.1/yard}]\nsegmentation: {conf: 0.5}\n"


def parse(*arguments: str) -> argparse.Namespace:
    parser = Parser()
    add_config_arguments(parser)
    args: argparse.Namespace = parser.parse_args(arguments)
    return args


def config_of(*arguments: str) -> Config:
    return config_from_arguments(parse(*arguments))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cameras.yaml").write_text(YAML)
    (tmp_path / "cameras.conf").write_text(YAML)
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    (tmp_path / "film").write_bytes(b"\0\0\0\x20ftypisom")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:4,\na.ts\n")
    (tmp_path / "camera.sdp").write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=No Name\n")
    (tmp_path / "images").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "is_config"),
    [
        pytest.param("0", False, id="camera number"),
        pytest.param("/dev/video0", False, id="camera path"),
        pytest.param("scene", False, id="scene"),
        pytest.param("rtsp://127.0.0.1/a.yaml", False, id="url"),
        pytest.param("film.mp4", False, id="video"),
        pytest.param("film", False, id="video without suffix"),
        pytest.param("missing.mp4", False, id="missing video"),
        pytest.param("images", False, id="folder"),
        pytest.param("images/*.jpg", False, id="pattern"),
        pytest.param("list.m3u8", False, id="playlist"),
        pytest.param("camera.sdp", False, id="session description"),
        pytest.param("cameras.yaml", True, id="configuration"),
        pytest.param("missing.YML", True, id="missing configuration"),
        pytest.param("cameras.conf", True, id="configuration by content"),
        pytest.param("demo", True, id="name of a configuration"),
    ],
)
def test_sources_and_configurations_are_told_apart(folder: Path, text: str, is_config: bool):
    assert is_config_file(text) == is_config


@pytest.mark.parametrize(
    ("arguments", "sources"),
    [
        pytest.param([], (SceneSource(),), id="nothing"),
        pytest.param(["0"], (WebcamSource(device=0),), id="camera"),
        pytest.param(["rtsp://127.0.0.1/x"], (StreamSource(url="rtsp://127.0.0.1/x"),), id="url"),
        pytest.param(["0", "film.mp4"], (WebcamSource(), StreamSource(url="film.mp4")), id="two"),
        pytest.param(["0", "--conf", "0.3", "1"], (WebcamSource(), WebcamSource(device=1)), id="between options"),
        pytest.param(["0", "--source", "1"], (WebcamSource(), WebcamSource(device=1)), id="positional and option"),
        pytest.param(
            ["cameras.yaml"], (StreamSource(id="yard", url="rtsp://127.0.0.1/yard"),), id="of the configuration"
        ),
        pytest.param(["cameras.yaml", "0"], (WebcamSource(),), id="configuration and source"),
        pytest.param(["0", "cameras.yaml"], (WebcamSource(),), id="source and configuration"),
        pytest.param(["film.mp4", "0", "--loop"], (StreamSource(url="film.mp4", loop=True), WebcamSource()), id="loop"),
    ],
)
def test_sources_of_the_command_line(folder: Path, arguments: list[str], sources: tuple[object, ...]):
    config = config_of(*arguments)
    assert config.sources == sources
    assert config.segmentation.conf == (0.5 if "cameras.yaml" in arguments else 0.3 if "--conf" in arguments else 0.25)


@pytest.mark.parametrize(
    ("arguments", "key", "value"),
    [
        pytest.param(["--conf", "0.1"], "conf", 0.1, id="conf"),
        pytest.param(["--conf", "0.1", "--set", "segmentation.conf=0.2"], "conf", 0.1, id="option before setting"),
        pytest.param(["--iou", "0.9"], "iou", 0.9, id="iou"),
        pytest.param(["--imgsz", "640"], "imgsz", 640, id="imgsz"),
        pytest.param(["--weights", "a: #b.pt"], "weights", "a: #b.pt", id="weights as they are"),
        pytest.param(["--device", "0"], "device", "cuda:0", id="device number"),
        pytest.param(["--device", "cpu"], "device", "cpu", id="device"),
        pytest.param(["--set", "segmentation.device=1"], "device", "cuda:1", id="device number as a setting"),
        pytest.param(["--half"], "half", True, id="half"),
        pytest.param(["--max-det", "9"], "max_det", 9, id="max-det"),
    ],
)
def test_options_of_the_network_are_settings(arguments: list[str], key: str, value: object):
    assert getattr(config_of(*arguments).segmentation, key) == value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["a.yaml", "b.yaml"], "give one configuration file, not 2: a.yaml, b.yaml", id="two files"),
        pytest.param(["0", "--loop"], "no source is a video file", id="nothing to loop"),
        pytest.param(["--conf", "7"], "segmentation.conf: ", id="value out of range"),
        pytest.param(["--device", "gpu"], "segmentation.device: ", id="unknown device"),
        pytest.param(["--device", "0,1"], "segmentation.device: ", id="two devices"),
        pytest.param(
            ["nowhere"],
            "there is no file nowhere; give a path, a camera number, a URL",
            id="neither source nor configuration",
        ),
    ],
)
def test_mistakes_are_one_error(arguments: list[str], message: str):
    with pytest.raises(ConfigError) as caught:
        config_of(*arguments)
    assert message in str(caught.value)
