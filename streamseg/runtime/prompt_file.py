"""The prompts in force and what they follow, in a file that the next run takes up.

{"version": 1,
 "prompts": [{"id": "cup", "points": [[x, y]], "labels": [1]}],     as `wire.prompts` writes them
 "memory": {"cam0": {"cup": {…}}}}                                  as `Pipeline.prompt_memory` gives it
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

from streamseg.errors import DataError, StreamsegError
from streamseg.pipeline import Pipeline
from streamseg.structures.prompt import EverythingPrompt, Prompt, TextPrompt
from streamseg.wire import fields, prompt_to_json, prompts_from_json

__all__ = ["KeptPrompts", "PromptFile"]

VERSION: Final = 1
KEYS: Final = ("version", "prompts", "memory")
MAX_FILE_BYTES: Final = 256 << 20
"""Far more than a thousand prompts take, with what is remembered of their objects."""
MEMORY_SECONDS: Final = 10.0
"""To write down all that is known of a thousand objects takes a fifth of a second, too long for each change."""


@dataclass(frozen=True)
class KeptPrompts:
    """What a file of prompts holds."""

    prompts: tuple[Prompt, ...]
    memory: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the prompts' objects, by source and prompt id; plain JSON, which the pipeline checks."""


class PromptFile:
    """Keeps prompts over restarts. A reader finds the file as it was before a write or after it, never half.

    Args:
        path: its folder is made; it need not exist, and is written with the first `write`.
        now_seconds: monotonic clock.

    Raises:
        DataError: the file cannot be written.
    """

    def __init__(self, path: str | Path, *, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        # What is moved to the place of a link would leave the file behind it as it was.
        self._target = Path(os.path.realpath(path))
        self._writing = threading.RLock()
        self._now_seconds = now_seconds
        self._memory: Mapping[str, Any] = {}
        self._asked_seconds = float("-inf")
        try:
            if self._target.exists() and not self._target.is_file():
                raise DataError(f"cannot keep the prompts in {path}: it is not a file; name one")
            self._target.parent.mkdir(parents=True, exist_ok=True)
            beside = self._beside()
            beside.touch()
            beside.unlink()
        except OSError as error:
            raise self._cannot_write(error) from error

    def read(self) -> KeptPrompts | None:
        """What was kept; None where there is no file yet.

        The pictures that the senders of the prompts saw are gone with the run that showed them: prompts come back
        without their `frame_index`.

        Raises:
            DataError: the file cannot be read, or is no file of prompts.
        """
        try:
            with self._target.open("rb") as stream:
                body = stream.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"cannot read the prompts of {self._path}: {error.strerror or error}") from error
        try:
            return _parse(fields.parse_json(body, "file", MAX_FILE_BYTES))
        except StreamsegError as error:
            raise self._damaged(error) from error

    def write(self, kept: KeptPrompts) -> None:
        """Put this into the file; from any thread.

        Raises:
            DataError: it cannot be written; the file is as it was.
        """
        body = fields.dump_json(
            {
                "version": VERSION,
                "prompts": [prompt_to_json(prompt) for prompt in kept.prompts],
                "memory": kept.memory,
            },
            "prompts",
        )
        with self._writing:
            beside = self._beside()
            try:
                try:
                    with beside.open("wb") as stream:
                        stream.write(body + b"\n")
                        stream.flush()
                        os.fsync(stream.fileno())
                    beside.replace(self._target)
                except BaseException:
                    with contextlib.suppress(OSError):
                        beside.unlink()
                    raise
                self._sync_folder()
            except OSError as error:
                raise self._cannot_write(error) from error

    def keep(self, pipeline: Pipeline, *, is_last: bool = False) -> None:
        """Write what is asked of a pipeline at present, and what it knows of the objects.

        What it knows may be up to `MEMORY_SECONDS` old, but for the last time. Raises as `write` does.
        """
        with self._writing:
            now_seconds = self._now_seconds()
            if is_last or now_seconds - self._asked_seconds >= MEMORY_SECONDS:
                self._memory, self._asked_seconds = pipeline.prompt_memory(), now_seconds
            prompts = pipeline.prompts
            ids = {prompt.prompt_id for prompt in prompts}
            memory = {
                source_id: {prompt_id: entry for prompt_id, entry in entries.items() if prompt_id in ids}
                for source_id, entries in self._memory.items()
            }
            self.write(KeptPrompts(prompts, memory))

    def resume(self, pipeline: Pipeline, kept: KeptPrompts) -> None:
        """Hand a pipeline what an earlier run knew; raises DataError where that is damaged."""
        try:
            pipeline.remember(kept.memory)
        except DataError as error:
            raise self._damaged(error) from error

    def _beside(self) -> Path:
        """A place in the same folder, from where a file can be moved to the target at once."""
        return self._target.with_name(f".{self._target.name}.{secrets.token_hex(4)}.tmp")

    def _sync_folder(self) -> None:
        """Have the move itself on the disk, too."""
        folder = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _cannot_write(self, error: OSError) -> DataError:
        return DataError(f"cannot keep the prompts in {self._path}: {error.strerror or error}")

    def _damaged(self, error: StreamsegError) -> DataError:
        return DataError(f"cannot take up the prompts of {self._path}: {error}; mend the file, or remove it")


def _parse(values: Mapping[str, Any]) -> KeptPrompts:
    if fields.integer(values, "version") != VERSION:
        raise DataError(f"its version is {values['version']}, {VERSION} is readable")
    unknown = [key for key in values if key not in KEYS]
    if unknown:
        raise DataError(f"unknown key {unknown[0][:40]!r}; valid keys are {', '.join(KEYS)}")
    if "prompts" not in values:
        raise DataError("it has no prompts")
    memory = fields.mapping(values, "memory", default={})
    return KeptPrompts(tuple(map(_without_index, prompts_from_json(values["prompts"]))), memory)


def _without_index(prompt: Prompt) -> Prompt:
    return prompt if isinstance(prompt, EverythingPrompt | TextPrompt) else replace(prompt, frame_index=None)
