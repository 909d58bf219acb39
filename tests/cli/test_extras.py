"""A missing optional package is one line that names the extra, whatever imports it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from streamseg.cli.extras import EXTRAS
from streamseg.cli.faults import explain
from tests.support.paths import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]

MODULES = {"foxglove_sdk": "foxglove", "paho_mqtt": "paho", "rerun_sdk": "rerun"}
"""Top-level modules of packages with another name."""


def module_of(need: str) -> str:
    name = re.split(r"[<>=\[]", need)[0].replace("-", "_")
    return MODULES.get(name, name)


def test_extras_are_those_of_the_package():
    optional = {
        extra: {module_of(need) for need in needs}
        for extra, needs in PROJECT["optional-dependencies"].items()
        if extra != "dev"
    }
    assert {need for needs in optional.values() for need in needs} == set(EXTRAS)
    for name, extras in EXTRAS.items():
        assert all(name in optional[extra] for extra in extras.split(","))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("aiohttp", "run: pip install 'streamseg[viewer]'", id="extra"),
        pytest.param("pycocotools.mask", "run: pip install 'streamseg[train,eval]'", id="submodule"),
        pytest.param("cv2", "needs the module cv2, which is not installed; install streamseg again", id="base"),
    ],
)
def test_missing_package(name: str, text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError) as caught:
        import_module(name)
    message = explain(caught.value)
    assert message is not None
    assert text in message


@pytest.mark.parametrize("name", ["streamseg.missing", None])
def test_own_missing_module_is_a_fault_of_the_program(name: str | None):
    assert explain(ModuleNotFoundError("x", name=name)) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        pytest.param("pycocotools", ["train", "train-default", "--out", "{out}"], "train", id="train"),
        pytest.param("pycocotools", ["pack", "train-default", "--out", "{out}", "--data", "{out}"], "train", id="pack"),
        pytest.param("pycocotools", ["eval", "proposals", "--data", "{out}"], "eval", id="eval"),
        pytest.param("matplotlib", ["eval", "proposals", "--data", "{out}", "--out", "{out}"], "eval", id="eval plots"),
        pytest.param("aiohttp", ["run", "scene", "--view", "0", "--no-publish"], "viewer", id="page"),
    ],
)
def test_subcommands_name_the_extra(tmp_path: Path, missing: str, arguments: list[str], extra: str):
    code = f"import sys; sys.modules[{missing!r}] = None; from streamseg.cli.main import main; sys.exit(main())"
    words = [word.format(out=tmp_path) for word in arguments]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"needs {missing}, which is not installed" in line
    assert re.search(rf"run: pip install 'streamseg\[.*{extra}.*\]'$", line)
