"""`scripts/_env` prepares the environment once, also if several scripts start at the same time."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

# Stands in for Python, and after `-m venv` for the environment's. Its pip waits until every script has asked for the
# version of Python, which each does because it has found no environment.
PYTHON = """\
#!/usr/bin/env bash
case "$*" in
-c*) echo version >> "$LOG" ;;
"-m venv"*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
"-m pip"*)
    until [ "$(grep -c version "$LOG")" -ge "$SCRIPTS" ]; do :; done
    echo "pip ${!#}" >> "$LOG"
    exit "$PIP_CODE" ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(REPOSITORY / "scripts" / "_env", tmp_path / "scripts")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def prepare(project: Path, *extras: str, pip_code: int = 0) -> list[int]:
    """Start one script per extra, all at once; return their exit codes."""
    log = project / "log"
    log.write_text("")
    values = {"PYTHON": project / "python", "LOG": log, "SCRIPTS": len(extras), "PIP_CODE": pip_code}
    environment = {**os.environ, **{name: str(value) for name, value in values.items()}}
    started = [
        subprocess.Popen(
            ["bash", "-c", f"source scripts/_env && prepare_environment {extra}"], cwd=project, env=environment
        )
        for extra in extras
    ]
    return [process.wait(100) for process in started]


def installed(project: Path) -> list[str]:
    return [line for line in (project / "log").read_text().splitlines() if line.startswith("pip")]


def test_scripts_at_the_same_time_install_once(project: Path):
    assert prepare(project, "dev", "dev", "dev") == [0, 0, 0]
    assert installed(project) == ["pip .[dev]"]
    assert (project / ".venv" / "bin" / "python").exists()
    assert prepare(project, "dev") == [0]
    assert installed(project) == []


def test_the_environment_of_the_tests_serves_all(project: Path):
    assert prepare(project, "dev") == [0]
    assert prepare(project, "viewer") == [0]
    assert installed(project) == []


def test_failed_installation_is_repeated(project: Path):
    assert prepare(project, "dev", pip_code=3) == [3]
    assert prepare(project, "dev") == [0]
    assert installed(project) == ["pip .[dev]"]


def test_changed_dependencies_are_installed(project: Path):
    assert prepare(project, "viewer") == [0]
    with (project / "constraints.txt").open("a") as file:
        file.write("# changed\n")
    assert prepare(project, "viewer") == [0]
    assert installed(project) == ["pip .[viewer]"]


def test_relative_and_absolute_folders_are_on_the_path(project: Path, tmp_path: Path):
    assert prepare(project, "dev") == [0]
    for folder in (".venv", str(project / ".venv")):
        words = "source scripts/_env && prepare_environment dev && command -v python"
        environment = {**os.environ, "STREAMSEG_VENV": folder}
        done = subprocess.run(["bash", "-c", words], cwd=project, env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == str(project / ".venv" / "bin" / "python")
