"""The wheel of the package: its contents, use without a clone, and types for users' programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.environments import build, install, make_environment
from tests.support.paths import PACKAGE, REPOSITORY

pytestmark = pytest.mark.slow

PROGRAM = """\
from streamseg import Subscriber
from streamseg.publish import ControlClient

for message in Subscriber("tcp://127.0.0.1:5555"):
    reveal_type(message.age_ms)
ControlClient(5556)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's wheel, built from a copy: setuptools leaves a folder `build`, whose files get into later wheels."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    shutil.copytree(PACKAGE, copy / "streamseg", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    return build(copy, folder, backend="setuptools.build_meta")


def test_wheel_contains_every_file_of_the_package(wheel: Path):
    expected = {
        path.relative_to(REPOSITORY).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert expected - names == set()
    assert "streamseg/assets/configs/demo.yaml" in names
    assert {name.partition("/")[0] for name in names} == {"streamseg"}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        pytest.param(["check-config", "configs/robot.yaml"], 0, "mode: streamseg", id="configuration"),
        pytest.param(
            ["check-config", "none.yaml"], 2, "included are demo, fleet, robot, rtsp", id="missing configuration"
        ),
        pytest.param(["text", "export", "--help"], 0, "openai/clip-vit-base-patch32", id="text encoders"),
    ],
)
def test_commands_need_no_clone(wheel: Path, tmp_path: Path, arguments: list[str], code: int, text: str):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    words = [sys.executable, "-m", "streamseg.cli.main", *arguments]
    done = subprocess.run(words, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == code
    assert text in done.stdout + done.stderr
    assert str(REPOSITORY) not in done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["wheel", "editable", "client"])
def test_type_checker_finds_the_types(request: pytest.FixtureRequest, tmp_path: Path, kind: str):
    python = make_environment(tmp_path / "environment", [])
    if kind == "wheel":
        built: Path = request.getfixturevalue("wheel")
    elif kind == "editable":
        built = build(REPOSITORY, tmp_path, backend="setuptools.build_meta", target="editable")
    else:
        built = build(REPOSITORY / "client", tmp_path, backend="hatchling.build")
    install(built, python)
    (tmp_path / "program.py").write_text(PROGRAM)
    words = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "program.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    revealed, fault, total = done.stdout.splitlines()
    assert revealed.startswith("program.py:5: note: Revealed type is ")
    assert "float" in revealed
    assert fault.startswith('program.py:6: error: Argument 1 to "ControlClient" has incompatible type "int"')
    assert total == "Found 1 error in 1 file (checked 1 source file)"
