"""The prompts in force and the state of their targets, in a file that the next run restores.

{"version": 1,
 "prompts": [{"id": "cup", "points": [[x, y]], "labels": [1]}],     in the format of `wire.prompts`
 "memory": {"cam0": {"cup": {…}}}}                                  as returned by `Pipeline.state_dict`
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from streamseg.errors import DataError, StreamsegError, reason_of
from streamseg.pipeline import Pipeline
from streamseg.structures.prompt import EverythingPrompt, Prompt, TextPrompt
from streamseg.wire import json_fields, prompt_to_json, prompts_from_json

__all__ = ["PromptFile", "SavedPrompts"]

VERSION: Final = 1
KEYS: Final = ("version", "prompts", "memory")
MAX_FILE_BYTES: Final = 256 << 20
"""Maximum file size: far more than a thousand prompts need with the state of their targets."""
STATE_SECONDS: Final = 10.0
"""Minimum interval between two exports of the targets' state: exporting a thousand takes 0.2 s, too long for every
change of the prompts."""


@dataclass(frozen=True)
class SavedPrompts:
    """Contents of a prompt file."""

    prompts: tuple[Prompt, ...]
    state: Mapping[str, Any] = field(default_factory=dict)
    """State of the prompts' targets, by source and prompt id; plain JSON, which the pipeline validates."""


class PromptFile:
    """Saves prompts across restarts. Writes are atomic: a reader sees the old file or the new one, never a part.

    Args:
        path: file to use; its folder is created, the file itself by the first write.
        now_seconds: monotonic clock.

    Raises:
        DataError: the file cannot be written.
    """

    def __init__(self, path: str | Path, *, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        # Replacing a symbolic link would leave the file that it points to unchanged.
        self._target = Path(os.path.realpath(path))
        self._writing = threading.RLock()
        self._now_seconds = now_seconds
        self._state: Mapping[str, Any] = {}
        self._exported_seconds = float("-inf")
        try:
            if self._target.exists() and not self._target.is_file():
                raise DataError(f"cannot save the prompts in {path}: it is not a regular file; name one")
            self._target.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._temporary()
            temporary.touch()
            temporary.unlink()
        except OSError as error:
            raise self._cannot_write(error) from error

    def load(self) -> SavedPrompts | None:
        """Load the saved prompts; None if the file does not exist yet.

        The frames that the senders of the prompts saw belong to the run that displayed them: prompts are loaded
        without their `frame_index`.

        Raises:
            DataError: the file cannot be read, or is not a prompt file.
        """
        try:
            with self._target.open("rb") as stream:
                body = stream.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"cannot read the prompts of {self._path}: {reason_of(error)}") from error
        try:
            return _parse(json_fields.parse_json(body, "file", MAX_FILE_BYTES))
        except StreamsegError as error:
            raise self._invalid(error) from error

    def write(self, saved: SavedPrompts) -> None:
        """Replace the contents of the file. Thread-safe.

        Raises:
            DataError: the file cannot be written; it is unchanged.
        """
        body = json_fields.dump_json(
            {
                "version": VERSION,
                "prompts": [prompt_to_json(prompt) for prompt in saved.prompts],
                "memory": saved.state,
            },
            "prompts",
        )
        with self._writing:
            temporary = self._temporary()
            try:
                try:
                    with temporary.open("wb") as stream:
                        stream.write(body + b"\n")
                        stream.flush()
                        os.fsync(stream.fileno())
                    temporary.replace(self._target)
                except BaseException:
                    with contextlib.suppress(OSError):
                        temporary.unlink()
                    raise
                self._sync_folder()
            except OSError as error:
                raise self._cannot_write(error) from error

    def save(self, pipeline: Pipeline, *, is_last: bool = False) -> None:
        """Save the prompts of a pipeline and the state of their targets.

        Unless `is_last`, the state may be up to `STATE_SECONDS` old. Raises the same errors as `write`.
        """
        with self._writing:
            now_seconds = self._now_seconds()
            if is_last or now_seconds - self._exported_seconds >= STATE_SECONDS:
                self._state, self._exported_seconds = pipeline.state_dict(), now_seconds
            prompts = pipeline.prompts
            ids = {prompt.prompt_id for prompt in prompts}
            state = {
                source_id: {prompt_id: entry for prompt_id, entry in entries.items() if prompt_id in ids}
                for source_id, entries in self._state.items()
            }
            self.write(SavedPrompts(prompts, state))

    def restore(self, pipeline: Pipeline, saved: SavedPrompts) -> None:
        """Restore the targets of an earlier run; raises DataError if the state is invalid."""
        try:
            pipeline.load_state_dict(saved.state)
        except DataError as error:
            raise self._invalid(error) from error

    def _temporary(self) -> Path:
        """Return a temporary path in the same folder, from which a file can be renamed to the target atomically."""
        return self._target.with_name(f".{self._target.name}.{secrets.token_hex(4)}.tmp")

    def _sync_folder(self) -> None:
        """Fsync the folder so that the rename is durable."""
        folder = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _cannot_write(self, error: OSError) -> DataError:
        return DataError(f"cannot save the prompts in {self._path}: {reason_of(error)}")

    def _invalid(self, error: StreamsegError) -> DataError:
        return DataError(f"cannot restore the prompts of {self._path}: {error}; repair the file or remove it")


def _parse(values: Mapping[str, Any]) -> SavedPrompts:
    if json_fields.integer(values, "version") != VERSION:
        raise DataError(f"its version is {values['version']}, only {VERSION} is supported")
    unknown = [key for key in values if key not in KEYS]
    if unknown:
        raise DataError(f"unknown key {unknown[0][:40]!r}; valid keys are {', '.join(KEYS)}")
    if "prompts" not in values:
        raise DataError("it has no prompts")
    state = json_fields.mapping(values, "memory", default={})
    return SavedPrompts(tuple(map(_without_index, prompts_from_json(values["prompts"]))), state)


def _without_index(prompt: Prompt) -> Prompt:
    return prompt if isinstance(prompt, EverythingPrompt | TextPrompt) else replace(prompt, frame_index=None)
