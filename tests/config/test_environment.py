"""Environment variables in configurations."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.cli.main import main
from streamseg.config import StreamSource, load_config
from streamseg.config.environment import expand
from streamseg.errors import ConfigError

VARIABLES = {"HOST": "camera", "PASSWORD": "p#s/s@1", "EMPTY": "", "URL": "rtsp://u:p%23@h/1", "PORT": "8765"}


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        pytest.param("plain", "plain", id="no reference"),
        pytest.param("$HOST costs 5$", "$HOST costs 5$", id="other dollars"),
        pytest.param("${HOST}", "camera", id="whole value"),
        pytest.param("a-${HOST}-${HOST}", "a-camera-camera", id="twice"),
        pytest.param("${NOBODY:-else}", "else", id="default"),
        pytest.param("${NOBODY:-}", "", id="empty default"),
        pytest.param("${EMPTY:-else}", "else", id="empty counts as unset"),
        pytest.param("${HOST:-else}", "camera", id="default not needed"),
        pytest.param("$${HOST}", "${HOST}", id="escaped"),
        pytest.param("rtsp://u:${PASSWORD}@${HOST}/1", "rtsp://u:p%23s%2Fs%401@camera/1", id="encoded in an address"),
        pytest.param("${URL}", "rtsp://u:p%23@h/1", id="whole address"),
        pytest.param("rtsp://${HOST}/a@b", "rtsp://camera/a@b", id="host before an @ in the path"),
        pytest.param({"a": ["${HOST}", None, {"b": "${PORT}"}]}, {"a": ["camera", None, {"b": "8765"}]}, id="nested"),
        pytest.param({"${HOST}": 1}, {"${HOST}": 1}, id="not in keys"),
    ],
)  # fmt: skip
def test_expand(value: object, expanded: object):
    assert expand(value, environment=VARIABLES) == expanded


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param("${NOBODY}", "url: the environment variable NOBODY is not set; set it, or write", id="unset"),
        pytest.param("${EMPTY}", "url: the environment variable EMPTY is not set", id="empty"),
        pytest.param("${}", "url: '${}' is no reference", id="no name"),
        pytest.param("${1A}", "url: '${1A}' is no reference", id="invalid name"),
        pytest.param("${HOST", "url: '${HOST' is no reference", id="not closed"),
        pytest.param("${HOST:?}", "is no reference to an environment variable; write ${NAME}", id="other operator"),
    ],
)
def test_invalid_references_are_one_line_each(value: str, message: str):
    with pytest.raises(ConfigError) as caught:
        expand({"url": value, "other": value}, environment=VARIABLES)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert message in lines[0]


@given(password=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_password_reaches_the_camera(password: str):
    url = expand("rtsp://admin:${PASSWORD}@camera.local:554/1", environment={"PASSWORD": password})
    parts = urlsplit(url)
    assert (parts.hostname, parts.port, parts.path) == ("camera.local", 554, "/1")
    assert unquote(parts.password or "") == password


def test_configuration_file_and_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAMERA_PASSWORD", "p@ss#1")
    monkeypatch.setenv("VIEWER_PORT", "9000")
    path = tmp_path / "a.yaml"
    path.write_text(
        'sources: [{type: stream, url: "rtsp://admin:${CAMERA_PASSWORD}@camera/1"}]\nviewer: {port: "${VIEWER_PORT}"}'
    )
    config = load_config(path, sets=["metrics.endpoint=127.0.0.1:${VIEWER_PORT}"])
    assert isinstance(config.sources[0], StreamSource)
    assert config.sources[0].url == "rtsp://admin:p%40ss%231@camera/1"
    assert config.viewer.port == 9000
    assert config.metrics.endpoint == "127.0.0.1:9000"
    monkeypatch.delenv("CAMERA_PASSWORD")
    with pytest.raises(ConfigError, match=r"a\.yaml: sources\.0\.url: the environment variable CAMERA_PASSWORD is not"):
        load_config(path)


def test_check_config_shows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("CAMERA_PASSWORD", "S3CRET " * 20)
    path = tmp_path / "a.yaml"
    path.write_text('sources: [{type: stream, url: "rtsp://admin:${CAMERA_PASSWORD}@camera/1"}]')
    assert main(["check-config", str(path)]) == 0
    output = capsys.readouterr()
    assert "S3CRET" not in output.out + output.err
    assert "url: rtsp://***@camera/1\n" in output.out
