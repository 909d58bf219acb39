from pathlib import Path

import pytest
import yaml

from streamseg.cli.config_checks import find_notices, find_problems
from streamseg.cli.main import main
from streamseg.config import Config, load_valid_part

pytestmark = pytest.mark.slow

PUBLIC = {"endpoint": "tcp://0.0.0.0:5555"}


def config_of(**sections: object) -> Config:
    return Config.model_validate(sections)


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        pytest.param({"sources": [{"type": "stream", "url": "none.mp4"}]}, "sources.0: none.mp4: no such", id="video"),
        pytest.param({"sources": [{"type": "images", "path": "none"}]}, "sources.0: ", id="folder of images"),
        pytest.param({"segmentation": {"weights": "n.pt"}}, "segmentation.weights: no weights at n.pt", id="weights"),
        pytest.param({"segmentation": {"weights": "n.onnx"}}, "segmentation.weights: no weights at n.onnx", id="onnx"),
        pytest.param(
            {"sources": [{"type": "images", "path": "empty.jpg"}]},
            "sources.0: empty.jpg is not a readable image: the file is empty",
            id="empty image",
        ),
        pytest.param(
            {"prompts": [{"id": "d", "text": "a dog"}], "text": {"encoders": "none"}},
            "text.encoders: texts need encoders",
            id="text encoders",
        ),
        pytest.param({"publish": PUBLIC}, "publish.endpoint: tcp://0.0.0.0:5555 is reachable", id="public endpoint"),
        pytest.param(
            {"publish": {"control_endpoint": "tcp://*:5556"}}, "publish.control_endpoint: tcp://*", id="public control"
        ),
        pytest.param({"publish": {"endpoint": "http://x"}}, "publish.endpoint: invalid endpoint", id="no endpoint"),
        pytest.param(
            {"publish": {"imagezmq": "tcp://*:5557"}},
            "publish.imagezmq: tcp://*:5557 is reachable",
            id="public images",
        ),
        pytest.param(
            {"output": {"webcam": "none"}}, "output.webcam: there is no virtual webcam none", id="virtual webcam"
        ),
        pytest.param(
            {"effect": {"kind": "cutout", "background": "none.png"}},
            "effect.background: ",
            id="background",
        ),
        pytest.param(
            {"publish": {"control_endpoint": "tcp://127.0.0.1:5555"}},
            "publish: control_endpoint and endpoint are both",
            id="one port twice",
        ),
        pytest.param(
            {"publish": {"endpoint": None, "single_endpoint": "tcp://127.0.0.1:0"}},
            "publish: single_endpoint requires endpoint",
            id="single endpoint alone",
        ),
        pytest.param({"viewer": {"enabled": True, "host": "0.0.0.0"}}, "viewer: a page at 0.0.0.0", id="public page"),
        pytest.param({"output": {"video": "."}}, "output.video: . is a folder", id="folder as a video"),
        pytest.param(
            {"output": {"video": "x.gif"}}, "output.video: cannot write the video x.gif: a name", id="no video"
        ),
        pytest.param({"output": {"messages": "file/m.jsonl"}}, "output.messages: file is not a folder", id="no folder"),
        pytest.param({"output": {"prompts": "file"}}, "output.prompts: ", id="not a file of prompts"),
    ],
)
def test_problem_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections, problem):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("text")
    Path("empty.jpg").touch()
    (line,) = find_problems(config_of(**sections))
    assert line.startswith(problem)
    assert "\n" not in line


@pytest.mark.parametrize(
    "sections",
    [
        pytest.param({}, id="defaults"),
        pytest.param({"sources": [{"type": "webcam", "device": 99}]}, id="absent camera"),
        pytest.param({"sources": [{"type": "stream", "url": "rtsp://127.0.0.1:1/x"}]}, id="absent stream"),
        pytest.param({"publish": {"endpoint": None, "control_endpoint": None}}, id="nothing published"),
        pytest.param({"publish": {"endpoint": "tcp://127.0.0.1:0", "control_endpoint": "tcp://127.0.0.1:0"}}, id="0"),
        pytest.param({"viewer": {"host": "0.0.0.0"}}, id="page that is off"),
        pytest.param({"output": {"video": "new/folder/v.mp4", "prompts": "new.json"}}, id="outputs"),
    ],
)
def test_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections):
    monkeypatch.chdir(tmp_path)
    config = config_of(**sections)
    assert (find_problems(config), find_notices(config)) == ([], [])
    assert list(tmp_path.iterdir()) == []


def test_notices_of_a_valid_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = config_of(
        publish={**PUBLIC, "allow_public": True},
        viewer={"enabled": True, "host": "0.0.0.0", "allow_public": True},
        segmentation={"weights": "FastSAM-s"},
    )
    assert find_problems(config) == []
    assert [line.partition(": ")[0] for line in find_notices(config)] == [
        "publish.endpoint",
        "viewer.host",
        "segmentation.weights",
    ]


def test_every_problem_is_reported_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "c.yaml"
    values = {
        "sources": [{"type": "stream", "url": "none.mp4", "lop": True}, {"type": "stream"}],
        "segmentation": {"weights": "none.pt", "conf": 7},
        "publish": PUBLIC,
        "prompts": [{"id": "a", "points": [[1, 2]], "box": [1, 2, 3, 4]}],
    }
    path.write_text(yaml.safe_dump(values))
    assert main(["check-config", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    starts = [line.removeprefix("streamseg: ").removeprefix(f"{path}: ").partition(": ")[0] for line in lines]
    assert starts == [
        "sources.0.lop",
        "sources.1.url",
        "segmentation.conf",
        "prompts.0",
        "sources.0",
        "segmentation.weights",
        "publish.endpoint",
    ]


def test_contradiction_between_sections_does_not_hide_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "c.yaml"
    source = {"type": "stream", "id": "a", "url": "none.mp4"}
    path.write_text(yaml.safe_dump({"sources": [source, source], "prompting": "default"}))
    assert main(["check-config", str(path)]) == 2
    err = capsys.readouterr().err
    assert "ids must be unique" in err
    assert "sources.1: none.mp4" in err


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        pytest.param({"prompts": [{"id": "a", "points": [[5]]}]}, "prompts.0.points.0: ", id="point of one number"),
        pytest.param({"prompts": [{"id": "a", "points": [[5, "x"]]}]}, "prompts.0.points.0.1: ", id="no number"),
        pytest.param({"zones": [{"id": "a", "line": [[0, 1]]}]}, "zones.0.line: ", id="line of one point"),
        pytest.param({"sources": [5]}, "sources.0: ", id="source that is no section"),
    ],
)
def test_consequences_of_a_mistake_are_no_mistakes(tmp_path: Path, sections, problem):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(sections))
    config, problems = load_valid_part(path)
    assert config is not None
    assert [line.startswith(problem) for line in problems + find_problems(config)] == [True]


@pytest.mark.parametrize(
    ("content", "words"),
    [pytest.param(b"a: [", "is not valid YAML", id="not YAML"), pytest.param(b"\x89PNG", "is not text", id="image")],
)
def test_file_that_is_not_yaml_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: str
):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    assert main(["check-config", str(path)]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count(str(path)) == 1


def test_outputs_in_which_an_effect_hides_nothing_are_named():
    outputs = {"output": {"recording": "rec", "video": "a.mp4"}, "collect": {"folder": "found"}}
    assert [line.partition(":")[0] for line in find_notices(config_of(effect={"kind": "blur"}, **outputs))] == [
        "output.recording",
        "collect.folder",
    ]
    assert find_notices(config_of(effect={"kind": "highlight"}, **outputs)) == []


def test_a_fleet_is_checked_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Its cameras get their names, and passwords are not printed."""
    path = tmp_path / "cameras.yaml"
    path.write_text("cameras: [{type: stream, url: 'rtsp://admin:open-sesame@camera/1'}, {type: scene, id: a}]")
    assert main(["check-config", str(path), "--set", "heartbeat_seconds=0.5"]) == 0
    text = capsys.readouterr().out
    values = yaml.safe_load(text)
    assert [camera["id"] for camera in values["cameras"]] == ["stream0", "a"]
    assert values["heartbeat_seconds"] == 0.5
    assert "open-sesame" not in text


@pytest.mark.parametrize(
    ("text", "inputs", "message"),
    [
        pytest.param("cameras: [{type: scene, id: a}, {type: scene, id: a}]", [], "occur twice: a", id="ids"),
        pytest.param("cameras: [{type: scene}]", ["scene"], "whose cameras are in the file; got scene", id="input"),
        pytest.param("cameras: 3", [], "cameras", id="no list"),
    ],
)
def test_mistakes_in_a_fleet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, inputs: list[str], message: str
):
    path = tmp_path / "cameras.yaml"
    path.write_text(text)
    assert main(["check-config", str(path), *inputs]) == 2
    assert message in capsys.readouterr().err
