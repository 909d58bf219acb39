"""Which inputs of a batch are done: a file of JSON lines that survives a killed process."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from streamseg.errors import DataError, reason_of
from streamseg.fleet.batch.inputs import BatchInput
from streamseg.resources import Resource, claim_output

__all__ = ["MANIFEST_NAME", "Manifest"]

MANIFEST_NAME: Final = "manifest.jsonl"
SCHEMA: Final = "streamseg.batch"
VERSION: Final = 1


class Manifest(Resource):
    """The manifest of an output folder, claimed for this process.

        {"schema": "streamseg.batch", "version": 1, "settings": {…}}
        {"input": "a/b.jpg", "size": …, "mtime_ns": …, "output": "a/b.jpg.jsonl", "frames": 1, "objects": 12, …}
        {"input": "c.jpg", "size": …, "mtime_ns": …, "error": "…"}

    A line is appended after its output was renamed into place, and the last line of an input counts. A process that is
    killed between the two leaves an output that is written again, with the same content.

    Args:
        out: output folder; created.
        settings: settings of the batch, JSON values.

    Raises:
        DataError: it cannot be written, another process writes it, it is damaged, or has other settings.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self._out = out
        self._path = out / MANIFEST_NAME
        self._lock = claim_output(self._path, "the manifest")
        try:
            self._entries = self._read(settings)
            self._file = self._path.open("ab", buffering=0)
            if not self._file.tell():
                self._append({"schema": SCHEMA, "version": VERSION, "settings": settings})
        except OSError as error:
            self._lock.close()
            raise DataError(f"cannot write {self._path}: {reason_of(error)}") from error
        except DataError:
            self._lock.close()
            raise

    def is_done(self, found: BatchInput) -> bool:
        """Return whether an input has its output, and has not changed since."""
        entry = self._entries.get(found.name)
        if entry is None or "error" in entry or any(entry.get(key) != one for key, one in found.as_json().items()):
            return False
        return (self._out / str(entry["output"])).is_file()

    def add(self, found: BatchInput, result: Mapping[str, Any]) -> None:
        """Record the result of an input: of a worker, or `{"error": …}`.

        Raises:
            DataError: it cannot be written.
        """
        entry = {**found.as_json(), **result}
        try:
            self._append(entry)
        except OSError as error:
            raise DataError(f"cannot write {self._path}: {reason_of(error)}") from error
        self._entries[found.name] = entry

    def errors_of(self, inputs: Sequence[BatchInput]) -> dict[str, str]:
        """Return the errors of these inputs, by name."""
        entries = {one.name: self._entries.get(one.name, {}) for one in inputs}
        return {name: str(entry["error"]) for name, entry in entries.items() if "error" in entry}

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()
        self._lock.close()

    def _append(self, values: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        os.fsync(self._file.fileno())

    def _read(self, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the entries by input, and remove an incomplete last line."""
        if not self._path.exists():
            return {}
        content = self._path.read_bytes()
        complete = content[: content.rfind(b"\n") + 1]
        if len(complete) < len(content):
            os.truncate(self._path, len(complete))
        try:
            head, *entries = [json.loads(line) for line in complete.splitlines()] or [None]
            if head is None:
                return {}
            is_known = head["schema"] == SCHEMA and head["version"] == VERSION
            written = head["settings"]
            found = {str(entry["input"]): dict(entry) for entry in entries}
        except (ValueError, LookupError, TypeError) as error:
            raise DataError(f"{self._path} is damaged; use another output folder") from error
        if not is_known:
            raise DataError(f"{self._path} is no manifest of this version; use another output folder")
        if written != settings:
            keys = ", ".join(_differences(written, settings))
            raise DataError(f"{self._path} was begun with other settings ({keys}); use them, or another output folder")
        return found


def _differences(first: Any, second: Any, path: str = "") -> list[str]:
    """Return the keys whose values differ."""
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return [path] if first != second else []
    keys = sorted({*first, *second})
    return [one for key in keys for one in _differences(first.get(key), second.get(key), f"{path}.{key}".lstrip("."))]
