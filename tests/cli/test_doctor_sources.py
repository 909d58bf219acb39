"""`streamseg doctor CONFIG`: each source is tried, and no secret is shown."""

from pathlib import Path

import pytest

from streamseg.cli import doctor
from streamseg.cli.doctor_sources import examine_config
from streamseg.cli.findings import Finding
from streamseg.cli.main import main
from streamseg.config import load_config
from tests.support.videos import write_video


def examine(tmp_path: Path, text: str, **options: float) -> dict[str, Finding]:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    return {finding.name: finding for finding in examine_config(load_config(path), **options)}


@pytest.mark.slow
def test_sources_are_tried_one_by_one(tmp_path: Path):
    write_video(tmp_path / "v.mp4", 20)
    found = examine(
        tmp_path,
        f"""
        sources:
          - {{type: stream, id: file, url: "{tmp_path}/v.mp4"}}
          - {{type: stream, id: gone, url: "{tmp_path}/nothing.mp4"}}
          - {{type: stream, id: dead, url: "rtsp://admin:S3CRET@127.0.0.1:1/x", open_timeout_seconds: 0.3}}
        publish: {{allow_public: true, endpoint: "tcp://0.0.0.0:5555"}}
        """,
    )
    assert list(found) == ["publish.endpoint", "file", "gone", "dead"]
    assert [finding.state for finding in found.values()] == ["note", "ok", "broken", "broken"]
    assert found["file"].remark.startswith("128x96, ")
    assert "no such file" in found["gone"].remark
    assert "Connection refused" in found["dead"].remark
    for finding in found.values():
        assert "S3CRET" not in finding.remark
        assert "\n" not in finding.remark


@pytest.mark.slow
def test_mistakes_of_the_configuration_come_first(tmp_path: Path):
    found = examine(tmp_path, "sources: [{type: images, path: nothing.jpg}]\nsegmentation: {weights: no.safetensors}")
    assert [(finding.name, finding.state) for finding in found.values()] == [
        ("segmentation.weights", "broken"),
        ("images0", "broken"),
    ]


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("note", 0), ("absent", 0), ("broken", 1)])
def test_exit_code(state: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("torch", state, "remark")])
    assert main(["doctor"]) == code
    assert "torch" in capsys.readouterr().out


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "1e9"])
def test_invalid_timeout_is_one_line(timeout: str, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--timeout", timeout]) == 2
    assert "--timeout must be above 0" in capsys.readouterr().err
