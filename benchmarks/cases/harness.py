"""One case: commands of the command line in a folder of its own, and checks of what they wrote."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np

from streamseg.structures.arrays import ImageArray

__all__ = ["Case", "CaseFailure", "Done", "Row", "Workspace", "frame_seconds", "read_frames", "require", "run_case"]

TIMEOUT_SECONDS = 300.0


class CaseFailure(Exception):
    """A wrong answer; the text says what came instead of the right one."""


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    output: str
    error: str
    seconds: float

    @property
    def text(self) -> str:
        """Both outputs."""
        return f"{self.output}\n{self.error}"

    def require(self, code: int) -> Done:
        """Return itself if the exit code is right and there is no traceback; an error is then a single line."""
        last = (self.error.strip() or self.output.strip()).splitlines()[-1:] or [""]
        require("Traceback" not in self.text, f"a traceback: {last[0]}")
        require(self.code == code, f"exit code {self.code}, not {code}: {last[0]}")
        if code == 2:
            lines = [line for line in self.error.splitlines() if line.startswith("streamseg")]
            require(len(lines) == 1, f"{len(lines)} lines on the error: {lines}")
        return self


@dataclass(frozen=True)
class Workspace:
    """Where a case runs: the folder of all inputs, read only, and an empty folder for results."""

    inputs: Path
    results: Path

    def streamseg(self, *arguments: str | Path) -> Done:
        """Run the command with the folder of results as its working folder."""
        return self._run("-m", "streamseg.cli.main", *map(str, arguments))

    def python(self, code: str) -> Done:
        """Run Python code, in which `I` is the folder of inputs with a final slash."""
        return self._run("-c", f"I = {f'{self.inputs}/'!r}\n{code}")

    def _run(self, *arguments: str) -> Done:
        started = time.monotonic()
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.results,
            env={**os.environ, "PYTHONPATH": path, "STREAMSEG_DEBUG": "0"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


@dataclass(frozen=True)
class Case:
    """One input with its right answer."""

    name: str
    """File or folder, relative to the folder of inputs."""
    right: str
    """The right answer in a few words."""
    check: Callable[[Workspace, str], str]
    """Runs the case by its name; returns what came. Raises CaseFailure."""


@dataclass(frozen=True)
class Row:
    """A case with its result."""

    case: Case
    got: str
    ok: bool


def run_case(case: Case, workspace: Workspace) -> Row:
    """Run a case; whatever goes wrong is a wrong answer."""
    try:
        return Row(case, case.check(workspace, case.name), ok=True)
    except CaseFailure as failure:
        return Row(case, str(failure), ok=False)
    except Exception as error:  # outputs that cannot be read, time-outs
        return Row(case, f"{type(error).__name__}: {error}", ok=False)


def require(condition: object, got: str) -> None:
    """Raise a wrong answer unless the condition holds."""
    if not condition:
        raise CaseFailure(" ".join(got.split())[:300])


def frame_seconds(path: Path) -> list[float]:
    """Return the time of each frame of a video, in the order of display."""
    require(path.is_file(), f"no file {path.name}")
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]


def read_frames(path: Path, count: int) -> tuple[list[ImageArray], Fraction]:
    """Return the first frames of a video as they are stored, and the sample aspect ratio (1 if not declared)."""
    require(path.is_file(), f"no file {path.name}")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = islice(container.decode(stream), count)
        images = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames]
        return images, Fraction(stream.sample_aspect_ratio or 1)
