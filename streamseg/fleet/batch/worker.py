"""Segment one file at a time; an output is complete or absent."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from streamseg.capture import Source, open_source
from streamseg.capture.content import fit_to_content
from streamseg.capture.images import ImageFiles
from streamseg.config import StreamSource, parse_source
from streamseg.engines import leave_cores
from streamseg.errors import DataError, SourceError, StreamsegError, reason_of
from streamseg.fleet.batch.settings import BatchSettings
from streamseg.fleet.worker import OpenMode
from streamseg.pipeline import Pipeline
from streamseg.prompting import prompts_from_config
from streamseg.runtime.sinks import message_line

__all__ = ["PARTIAL_SUFFIX", "BatchWorker", "output_name"]

PARTIAL_SUFFIX = ".partial"
"""End of the names of files that are being written."""


def output_name(name: str) -> str:
    """Return the output of an input, below the output folder."""
    return f"{name}.jsonl"


class BatchWorker:
    """Writes the objects of images and videos: one line of JSON per frame, see `runtime.sinks.message_line`.

    Args:
        values: `BatchSettings` as JSON values.
        folder: folder of the inputs.
        out: output folder.
        open_mode: opens the stages whose behaviour depends on `mode`.

    Raises:
        StreamsegError: the network cannot be loaded.
    """

    def __init__(self, values: Mapping[str, Any], folder: str, out: str, open_mode: OpenMode) -> None:
        settings = BatchSettings.model_validate(values)
        self._folder, self._out = Path(folder), Path(out)
        mode = open_mode(settings.mode)
        self._segmenter = mode.open_segmenter(settings.segmentation, embeddings=True)
        leave_cores(self._segmenter.engine)
        self._open_pipeline = partial(
            Pipeline,
            self._segmenter,
            prompts=prompts_from_config(settings.prompts),
            matcher=mode.prompt_matcher(),
            text=mode.text_matcher(settings.text),
        )
        self._tracking = settings.tracking

    def ready(self) -> bool:
        """Return True: the network is loaded."""
        return True

    def process(self, name: str) -> dict[str, Any]:
        """Segment one file, and rename its output into place.

        Args:
            name: path of the input below the folder.

        Returns:
            {"output": …, "frames": …, "objects": …, "seconds": …}, or {"error": …} if the file cannot be segmented;
            nothing is written then.

        Raises:
            DataError: the output cannot be written.
        """
        started = time.monotonic()
        target = self._out / output_name(name)
        # Hidden, and of this process: another one may have been declared dead and be alive.
        partial_path = target.with_name(f".{target.name}.{os.getpid()}{PARTIAL_SUFFIX}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            num_frames, num_objects = self._write(name, partial_path)
            os.replace(partial_path, target)
        except StreamsegError as error:
            return {"error": " ".join(str(error).split())}
        except OSError as error:
            raise DataError(f"cannot write {target}: {reason_of(error)}") from error
        finally:
            partial_path.unlink(missing_ok=True)
        return {
            "output": output_name(name),
            "frames": num_frames,
            "objects": num_objects,
            "seconds": round(time.monotonic() - started, 3),
        }

    def close(self) -> None:
        """Release nothing: the process ends."""

    def _write(self, name: str, path: Path) -> tuple[int, int]:
        """Write all frames of a file, durably; return the numbers of frames and objects."""
        source = self._open(name)
        is_video = not isinstance(source, ImageFiles)
        pipeline = self._open_pipeline(tracking=self._tracking.model_copy(update={"enabled": is_video}))
        num_frames = num_objects = 0
        with path.open("wb") as file, contextlib.closing(source.frames()) as frames:  # type: ignore[type-var]
            for frame in frames:
                result = pipeline.finish(frame, pipeline.segment([frame])[0])
                file.write(message_line(result.message).encode())
                num_frames += 1
                num_objects += len(result.message.objects)
            if not num_frames:
                raise SourceError(f"{name} has no frames")
            file.flush()
            os.fsync(file.fileno())
        return num_frames, num_objects

    def _open(self, name: str) -> Source:
        section = fit_to_content(parse_source(str(self._folder / name)))
        if isinstance(section, StreamSource):
            section = section.model_copy(update={"mode": "every_frame"})
        return open_source(section.model_copy(update={"id": "file"}))
