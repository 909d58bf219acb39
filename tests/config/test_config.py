"""Configuration files, command-line settings, sources and the files in configs/."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from streamseg.config import (
    Config,
    ImagesSource,
    SceneSource,
    SegmentationConfig,
    SourceConfig,
    StreamSource,
    WebcamSource,
    load_config,
    parse_source,
)
from streamseg.errors import ConfigError, StreamsegError
from tests.support.paths import REPOSITORY

CONFIGS = REPOSITORY / "configs"
SOURCE_MODELS: tuple[type[BaseModel], ...] = get_args(get_args(SourceConfig)[0])


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# ---- files


def test_defaults_without_file():
    assert load_config() == Config()
    assert [source.id for source in Config().named_sources()] == ["scene0"]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "{}"])
def test_empty_file_gives_defaults(tmp_path: Path, text: str):
    assert load_config(write(tmp_path, text)) == Config()


def test_section_changes_only_given_keys(tmp_path: Path):
    config = load_config(write(tmp_path, "segmentation: {conf: 0.5}\n"))
    assert config.segmentation == SegmentationConfig(conf=0.5)
    assert config.tracking == Config().tracking


def test_source_type_selects_section(tmp_path: Path):
    config = load_config(
        write(tmp_path, "sources: [{type: webcam}, {type: stream, url: a.mp4, id: door}, {type: scene}]")
    )
    assert [type(source) for source in config.sources] == [WebcamSource, StreamSource, SceneSource]
    assert [source.id for source in config.named_sources()] == ["webcam0", "door", "scene2"]


def test_mode_and_former_key():
    assert load_config().mode == "streamseg"
    assert load_config(sets=["mode=fastsam"]).mode == "fastsam"
    assert load_config(sets=["prompting=reference"]).mode == "fastsam"
    assert load_config(sets=["prompting=default"]).mode == "streamseg"


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        pytest.param(["mode=official"], "mode: Input should be 'streamseg' or 'fastsam', got 'official'", id="mode"),
        pytest.param(["prompting=official"], "prompting must be default or reference, got 'official'", id="former"),
        pytest.param(["mode=fastsam", "prompting=reference"], "remove prompting: reference", id="both"),
    ],
)
def test_invalid_modes_are_rejected(sets: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        load_config(sets=sets)


def test_config_is_immutable():
    with pytest.raises(ValueError, match="frozen"):
        Config().segmentation.conf = 0.1  # type: ignore[misc]


# ---- errors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("segmentaton: {}", ["segmentaton: unknown key; did you mean 'segmentation'?"], id="section"),
        pytest.param(
            "segmentation: {confidence: 1}", ["segmentation.confidence: unknown key; did you mean 'conf'?"], id="key"
        ),
        pytest.param(
            "segmentation: {img_sz: 1}", ["segmentation.img_sz: unknown key; did you mean 'imgsz'?"], id="near-key"
        ),
        pytest.param(
            "batching: {zzz: 1}",
            ["batching.zzz: unknown key; valid keys are deadline_ms, max_age_ms, max_batch"],
            id="far-key-lists-all",
        ),
        pytest.param(
            "sources: [{type: webcam, devise: 1}]",
            ["sources.0.devise: unknown key; did you mean 'device'?"],
            id="key-of-source",
        ),
        pytest.param(
            "prompts: [{id: a, point: [[1, 2]]}]",
            ["prompts.0.point: unknown key; did you mean 'points'?"],
            id="key-of-prompt",
        ),
        pytest.param("segmentation: {conf: 2}", ["segmentation.conf: .*less than or equal to 1, got 2"], id="range"),
        pytest.param("segmentation: {conf: high}", ["segmentation.conf: .*valid number.*, got 'high'"], id="type"),
        pytest.param("segmentation: {device: gpu}", ["segmentation.device: Use auto, cpu.*, got 'gpu'"], id="pattern"),
        pytest.param("quality: {device: '-1'}", ["quality.device: Use auto, cpu, .*, got '-1'"], id="device-of-tier"),
        pytest.param("prompts: [5]", ["prompts.0: Input should be keys and values, got 5"], id="no-section"),
        pytest.param("sources: 3", ["sources: Input should be a list, got 3"], id="no-list"),
        pytest.param(
            "zones: [{id: a, polygon: [[0, 0], [1, 1]]}]",
            ["zones.0.polygon: List should have at least 3 items.*, got [[0, 0], [1, 1]]"],
            id="polygon-of-two-corners",
        ),
        pytest.param(
            "zones: [{id: a, polygon: [[0, 0], [1, 1], [1, 2]]}]",
            ["zones.0.polygon.2.1: .*less than or equal to 1, got 2"],
            id="invalid-corner-is-not-also-a-missing-one",
        ),
        pytest.param("mqtt: {address: broker}", ["mqtt.address: 'broker' is no broker; .*for TLS"], id="value-once"),
        pytest.param(
            "segmentation: {engine: tflite}",
            ["segmentation.engine: .*'auto', 'torch', 'onnx', 'openvino', 'device' or 'tensorrt', got 'tflite'"],
            id="choice",
        ),
        pytest.param(
            "sources: [{type: ros, topic: /rgb, depth_topic: /depth}]",
            ["sources.0: .*depth_topic and camera_info_topic require each other; set both or neither"],
            id="depth-without-calibration",
        ),
        pytest.param(
            "sources: [{type: ros, topic: '/a//b'}]",
            ["sources.0.topic: '/a//b' is not the name of a ROS topic.*"],
            id="ros-topic",
        ),
        pytest.param(
            "sources: [{type: webcam, device: 256}]",
            ["sources.0.device: 256 is no camera; numbers are 0 to 255.*"],
            id="number-of-webcam",
        ),
        pytest.param("sources: []", ["sources: .*at least 1 item.*"], id="no-source"),
        pytest.param(
            "sources: [{type: camera}]",
            ["sources.0: .*'camera'.*'scene', 'webcam', 'stream', 'images'.*"],
            id="source-type",
        ),
        pytest.param("sources: [{url: a.mp4}]", ["sources.0: .*discriminator 'type'.*"], id="no-source-type"),
        pytest.param("sources: [{type: stream}]", ["sources.0.url: Field required"], id="missing-key"),
        pytest.param("sources: [5]", ["sources.0: Input should be keys and values, got 5"], id="source-is-no-section"),
        pytest.param(
            "prompts: [{id: a, box: [1, 2]}]",
            ["prompts.0.box: List should have 4 items, not 2, got [1, 2]"],
            id="box-of-two-numbers",
        ),
        pytest.param(
            "prompts: [{id: a, points: [[1, 2], [3]]}]",
            ["prompts.0.points.1: List should have 2 items, not 1, got [3]"],
            id="point-of-one-number",
        ),
        pytest.param(
            "zones: [{id: z, line: [[0, 1]]}]",
            ["zones.0.line: List should have 2 items, not 1, got [[0, 1]]"],
            id="line-of-one-point",
        ),
        pytest.param(
            "sources: [{type: scene, id: 'a/b'}]", ["sources.0.id: .*letters, digits.*, got 'a/b'"], id="slash-in-id"
        ),
        pytest.param(
            "sources: [{type: scene, id: a}, {type: webcam, id: a}]",
            ["configuration: source ids must be unique, these occur twice: a"],
            id="same-source-id",
        ),
        pytest.param(
            "prompts: [{id: a}, {id: a}]",
            ["configuration: prompt ids must be unique, these occur twice: a"],
            id="same-prompt-id",
        ),
        pytest.param(
            "prompts: [{id: a, points: [[1, 2]], box: [1, 2, 3, 4]}]",
            ["prompts.0: give one of points, box and text, not points and box"],
            id="two-kinds",
        ),
        pytest.param(
            "prompts: [{id: a, text: a cup, box: [1, 2, 3, 4]}]",
            ["prompts.0: give one of points, box and text, not box and text"],
            id="box-and-text",
        ),
        pytest.param(
            "prompts: [{id: a, text: a cup, follow: false}]",
            ["prompts.0: follow requires points or a box"],
            id="text-with-follow",
        ),
        pytest.param(
            f"prompts: [{{id: a, text: {'x' * 257}}}]",
            ["prompts.0.text: .*at most 256 characters, got .*"],
            id="long-text",
        ),
        pytest.param(
            "prompts: [{id: a, source: 'a/b'}]",
            ["prompts.0.source: .*letters, digits.*, got 'a/b'"],
            id="slash-in-source",
        ),
        pytest.param(
            "sources: [{type: scene}, {type: webcam, id: door}]\nprompts: [{id: a, source: dor}]",
            ["configuration: prompt 'a' refers to the unknown source 'dor'; valid sources are scene0, door"],
            id="unknown-source",
        ),
        pytest.param("prompts: [{id: a, mask: dog.png}]", ["prompts.0.mask: unknown key; .*"], id="mask-is-not-a-key"),
        pytest.param("prompts: [{id: a, labels: [1]}]", ["prompts.0: labels require points"], id="labels-only"),
        pytest.param(
            "segmentation: {conf: 2, iuo: 1}\nbatching: {max_batch: 0}",
            [
                "batching.max_batch: .*greater than or equal to 1, got 0",
                "segmentation.conf: .*less than or equal to 1, got 2",
                "segmentation.iuo: unknown key; did you mean 'iou'?",
            ],
            id="all-at-once",
        ),
    ],
)
def test_each_error_is_one_line_with_its_key(tmp_path: Path, text: str, expected: list[str]):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    lines = str(caught.value).split("\n")
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        pattern = re.escape(pattern).replace(r"\.\*", ".*")
        assert re.fullmatch(re.escape(f"{path}: ") + pattern, line), line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot read the configuration", id="missing"),
        pytest.param(b"a: [1", "is not valid YAML", id="not-yaml"),
        pytest.param(b"- 1\n- 2\n", "must contain keys and values, got list", id="list"),
        pytest.param(b"hello", "must contain keys and values, got str", id="word"),
        pytest.param(b"\xff\xfe\x00", "cannot read the configuration", id="not-text"),
        pytest.param(b"!!python/object/apply:os.getcwd []", "is not valid YAML", id="python-object"),
    ],
)
def test_unreadable_files_are_rejected(tmp_path: Path, content: bytes | None, message: str):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, StreamsegError)


# ---- settings and sources from the command line


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        pytest.param("segmentation.conf=0.4", ("segmentation", "conf"), 0.4, id="number"),
        pytest.param("tracking.enabled=false", ("tracking", "enabled"), False, id="bool"),
        pytest.param("publish.endpoint=null", ("publish", "endpoint"), None, id="null"),
        pytest.param("output.video=out/a=b.mp4", ("output", "video"), "out/a=b.mp4", id="text-with-equals-sign"),
        pytest.param("publish.endpoint=tcp://127.0.0.1:0", ("publish", "endpoint"), "tcp://127.0.0.1:0", id="endpoint"),
    ],
)
def test_setting_changes_value(setting: str, path: tuple[str, str], value: object):
    assert getattr(getattr(load_config(sets=[setting]), path[0]), path[1]) == value


def test_settings_address_list_items_and_override_file(tmp_path: Path):
    path = write(tmp_path, "sources: [{type: scene}, {type: scene, fps: 5}]\nbatching: {max_batch: 2}")
    config = load_config(path, sets=["sources.1.fps=7", "batching.max_batch=3", "batching.max_batch=4"])
    assert [getattr(source, "fps", None) for source in config.sources] == [30.0, 7.0]
    assert config.batching.max_batch == 4


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        pytest.param("conf", "--set needs key=value, got 'conf'", id="no-value"),
        pytest.param("=1", "--set needs key=value", id="no-key"),
        pytest.param("segmentation.conf=[1", "is not a YAML value", id="not-yaml"),
        pytest.param("segmentation.cnf=1", "segmentation.cnf: unknown key; did you mean 'conf'?", id="unknown"),
        pytest.param("batching.max_batch.x=1", "batching.max_batch", id="below-a-value"),
        pytest.param("prompts.9.id=a", "prompts", id="past-the-list"),
    ],
)
def test_invalid_settings_are_rejected(setting: str, message: str):
    with pytest.raises(ConfigError) as caught:
        load_config(sets=[setting])
    assert message in str(caught.value)


def test_command_line_sources_replace_sources_of_file(tmp_path: Path):
    path = write(tmp_path, "sources: [{type: webcam}]")
    config = load_config(path, sources=["scene", "rtsp://camera/stream"])
    assert [source.id for source in config.named_sources()] == ["scene0", "stream1"]


def test_settings_apply_to_command_line_sources():
    (source,) = load_config(sources=["rtsp://camera/stream"], sets=["sources.0.timeout_seconds=2"]).sources
    assert source == StreamSource(url="rtsp://camera/stream", timeout_seconds=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("scene", SceneSource(), id="scene"),
        pytest.param("0", WebcamSource(device=0), id="webcam-index"),
        pytest.param("12", WebcamSource(device=12), id="webcam-two-digits"),
        pytest.param("/dev/video2", WebcamSource(device="/dev/video2"), id="webcam-path"),
        pytest.param("rtsp://user:pass@host/a", StreamSource(url="rtsp://user:pass@host/a"), id="rtsp"),
        pytest.param("HTTP://host/a.mp4", StreamSource(url="HTTP://host/a.mp4"), id="upper-case-scheme"),
        pytest.param("clip.mp4", StreamSource(url="clip.mp4"), id="file"),
        pytest.param("images/*.png", ImagesSource(path="images/*.png"), id="glob"),
        pytest.param("a.JPG", ImagesSource(path="a.JPG"), id="image"),
        pytest.param("0.mp4", StreamSource(url="0.mp4"), id="digit-with-suffix"),
    ],
)
def test_parse_source(text: str, expected: SourceConfig):
    assert parse_source(text) == expected


def test_folder_is_image_source(tmp_path: Path):
    assert parse_source(str(tmp_path)) == ImagesSource(path=str(tmp_path))


# ---- the files in configs/


def keys_of(value: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Return every path of keys, ignoring list positions."""
    if isinstance(value, dict):
        return {nested for key, item in value.items() for nested in {(*path, key)} | keys_of(item, (*path, key))}
    if isinstance(value, list | tuple):
        return {nested for item in value for nested in keys_of(item, path)}
    return set()


def demo_lines() -> list[str]:
    """Return the lines of demo.yaml with its commented-out sources enabled."""
    return [
        re.sub(r"^  # (- type|  \w+):", r"  \1:", line) for line in (CONFIGS / "demo.yaml").read_text().splitlines()
    ]


def test_demo_yaml_equals_defaults():
    assert load_config(CONFIGS / "demo.yaml") == Config()


def test_demo_yaml_has_exactly_all_keys():
    values = yaml.safe_load("\n".join(demo_lines()))
    sources = {source["type"]: source for source in values.pop("sources")}
    assert keys_of(values) == keys_of(Config().model_dump(exclude={"sources"}))
    assert set(sources) == {model.model_fields["type"].default for model in SOURCE_MODELS}
    for model in SOURCE_MODELS:
        written = sources[model.model_fields["type"].default]
        assert set(written) == set(model.model_fields)
        defaults = {key: field.default for key, field in model.model_fields.items() if not field.is_required()}
        assert {key: written[key] for key in defaults} == defaults


def test_demo_yaml_explains_every_key():
    sections = set(Config.model_fields)
    for line in demo_lines():
        key = re.match(r"^ *(?:- )?(\w+):", line)
        if key and key[1] not in sections:
            assert re.search(r"  +# \S", line), line


@pytest.mark.parametrize("name", ["webcam", "rtsp", "robot"])
def test_other_files_contain_only_differences(name: str):
    path = CONFIGS / f"{name}.yaml"
    load_config(path)
    values = yaml.safe_load(path.read_text())
    for source in values.pop("sources"):
        model: type[BaseModel] = next(m for m in SOURCE_MODELS if m.model_fields["type"].default == source["type"])
        for key, value in source.items():
            if key not in ("type", "device"):
                assert value != model.model_fields[key].default, f"{name}.yaml repeats the default of {key}"
    for section, keys in values.items():
        for key, value in keys.items():
            default = getattr(getattr(Config(), section), key)
            assert value != default, f"{name}.yaml repeats the default of {section}.{key}"
