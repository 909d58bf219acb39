"""Virtual environments with selected packages of this one, made without a network."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

__all__ = ["build", "install", "make_environment"]


def make_environment(folder: Path, packages: Iterable[str]) -> Path:
    """Make a virtual environment that contains the packages, as links, and nothing else.

    Returns:
        The environment's Python.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in packages:
        installed = distribution(name)
        parts = {path.parts[0] for path in installed.files or () if path.suffix != ".pth"}
        for part in sorted(parts - {"..", "__pycache__"}):
            (site / part).symlink_to(str(installed.locate_file(part)))
    return folder / "bin" / "python"


def build(project: Path, folder: Path, *, backend: str, target: str = "wheel") -> Path:
    """Build the wheel or sdist of a project by its backend as installed here, such as `hatchling.build`."""
    code = f"import {backend} as backend; print(backend.build_{target}({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    return folder / done.stdout.splitlines()[-1]


def install(wheel: Path, python: Path) -> None:
    """Install a wheel alone into the environment of another Python."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    arguments = ["install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([*pip, *arguments], capture_output=True, text=True, check=True)
