"""The side that asks: starts a program that answers, and gets figures from it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]


class Child:
    """A process that runs a module of `benchmarks.peers`, asked one request at a time."""

    def __init__(self, python: str | Path, module: str, environment: Mapping[str, str] | None = None) -> None:
        """Start it; `environment` is added to this process's."""
        self._name = module
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(python), "-m", module],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )

    def ask(self, op: str, **values: Any) -> dict[str, Any]:
        """One request; raises RuntimeError with the process's last words where it has ended."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        try:
            requests.write(json.dumps({"op": op, **values}).encode() + b"\n")
            line = answers.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            words = "".join(self._errors.readlines()[-15:])
            raise RuntimeError(f"{self._name} ended with status {code} when asked for {op!r}:\n{words}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close its stdin, at which it ends."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        requests.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        answers.close()
        self._errors.close()


def set_up(folder: Path, requirements: Path, python: Sequence[str]) -> Path:
    """Make an environment in a folder, and install exact versions; answers its Python."""
    subprocess.run([*python, "-m", "venv", str(folder)], check=True)
    made = folder / "bin" / "python"
    subprocess.run([str(made), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)], check=True)
    return made
