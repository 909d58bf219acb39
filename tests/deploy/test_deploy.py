"""The files of deploy/: valid by the schemas and tools of their programs, and consistent with each other."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from streamseg.cli.config_checks import find_problems
from streamseg.config import load_config
from tests.support.paths import REPOSITORY
from tests.support.run_metrics import metric_labels

DEPLOY = REPOSITORY / "deploy"
COMPOSE_TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SECONDS = 60.0


def environment() -> dict[str, str]:
    """Values of example.env, with its secrets filled in."""
    lines = [line for line in (DEPLOY / "example.env").read_text().splitlines() if line and not line.startswith("#")]
    values = dict(line.split("=", 1) for line in lines)
    return {**values, "STREAMSEG_VIEWER_TOKEN": "a" * 32, "GRAFANA_PASSWORD": "secret"}


def test_compose_file_follows_the_compose_specification():
    schemas = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(COMPOSE)


@pytest.mark.slow
def test_compose_file_is_accepted_by_docker():
    # Docker's plugin, or Debian's package docker-compose, which follows an older version of the specification.
    names = (["docker", "compose"], ["docker-compose"])
    found = [
        name
        for name in names
        if shutil.which(name[0])
        and subprocess.run([*name, "version"], capture_output=True, timeout=SECONDS).returncode == 0
    ]
    if not found:
        pytest.skip("docker compose is not installed")
    command = [*found[0], "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    result = subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environment()}, capture_output=True, text=True, timeout=SECONDS
    )
    assert result.returncode == 0, result.stderr


def test_required_variables_are_in_the_example():
    required = set(re.findall(r"\$\{(\w+):?\?", COMPOSE_TEXT))
    assert required
    assert required <= set(environment())


def test_ports_are_published_to_this_machine_only():
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports), ports


def test_mounted_files_exist():
    sources = [
        volume.partition(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]
    assert sources
    for source in sources:
        assert (DEPLOY / source).exists(), source


def test_images_of_others_have_versions():
    for name, service in COMPOSE["services"].items():
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+", service["image"]), name


@pytest.mark.slow
def test_configuration_of_the_container(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAMERA_URL", "rtsp://go2rtc:8554/camera")
    config = load_config(DEPLOY / "streamseg.yaml")
    assert find_problems(config) == []
    endpoints = [config.publish.endpoint, config.publish.control_endpoint, config.metrics.endpoint]
    used = {int((endpoint or "").rpartition(":")[2]) for endpoint in endpoints} | {config.viewer.port}
    published = {int(port.split(":")[1]) for port in COMPOSE["services"]["streamseg"]["ports"]}
    exposed = re.findall(r"^EXPOSE (.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert used == published == {int(port) for port in exposed[0].split()}


def test_files_of_the_image_are_in_its_context():
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY ((?!--from).*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    for name in " ".join(copied).split():
        assert (REPOSITORY / name).exists(), name
        assert f"!{name}" in ignored


@pytest.mark.parametrize(
    "rule",
    yaml.safe_load((DEPLOY / "prometheus" / "streamseg.rules.yml").read_text())["groups"][0]["rules"],
    ids=lambda rule: rule["alert"],
)
def test_alerts_use_metrics_that_exist(rule: dict[str, Any]):
    labels = metric_labels()
    names = set(re.findall(r"streamseg_\w+", rule["expr"]))
    assert names <= set(labels)
    assert names or rule["expr"].startswith("up{")
    shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert shown <= {label for name in names for label in labels[name]}


def test_prometheus_reads_the_metrics_of_the_container():
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert jobs[0]["static_configs"][0]["targets"] == ["streamseg:9464"]


@pytest.mark.slow
def test_systemd_accepts_the_unit(tmp_path: Path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    unit = (DEPLOY / "streamseg.service").read_text(encoding="utf-8")
    (tmp_path / "streamseg.service").write_text(unit.replace("/opt/streamseg/bin/streamseg", sys.executable))
    command = [tool, "verify", "--man=no", str(tmp_path / "streamseg.service")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    # It also reports other units of this machine, one line each that starts with their path.
    own = [line for line in result.stderr.splitlines() if "streamseg" in line]
    assert (result.returncode, own) == (0, [])


def test_unit_runs_a_command_that_exists():
    from streamseg.cli.main import build_parser

    unit = (DEPLOY / "streamseg.service").read_text(encoding="utf-8")
    for text in (re.findall(r"^ExecStart=\S+ (.*)$", unit, re.MULTILINE)[0], "run /etc/streamseg/streamseg.yaml"):
        assert build_parser().parse_args(text.split()).inputs == ["/etc/streamseg/streamseg.yaml"]
