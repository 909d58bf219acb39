"""Client side: start a server process and request measurements."""

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
    """A process that runs a server module of `benchmarks.peers`, one request at a time."""

    def __init__(self, python: str | Path, module: str, environment: Mapping[str, str] | None = None) -> None:
        """Start the process; `environment` extends that of this process."""
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

    def request(self, op: str, **values: Any) -> dict[str, Any]:
        """Send one request and return the response.

        Raises:
            RuntimeError: the process has ended; the message contains its last output.
        """
        requests, responses = self._process.stdin, self._process.stdout
        assert requests is not None
        assert responses is not None
        try:
            requests.write(json.dumps({"op": op, **values}).encode() + b"\n")
            line = responses.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            output = "".join(self._errors.readlines()[-15:])
            raise RuntimeError(f"{self._name} ended with status {code} on request {op!r}:\n{output}")
        response: dict[str, Any] = json.loads(line)
        return response

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the process's stdin, which ends it."""
        requests, responses = self._process.stdin, self._process.stdout
        assert requests is not None
        assert responses is not None
        requests.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        responses.close()
        self._errors.close()


def set_up(folder: Path, requirements: Path, python: Sequence[str]) -> Path:
    """Create an environment in a folder, install pinned versions and return its Python."""
    subprocess.run([*python, "-m", "venv", str(folder)], check=True)
    created = folder / "bin" / "python"
    subprocess.run([str(created), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)], check=True)
    return created
