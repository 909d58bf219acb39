"""Workers of a batch without a network."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from streamseg.errors import DataError

__all__ = ["CopyingWorker"]


class CopyingWorker:
    """Copies each input to its output, by rename.

    A file with the content `bad` cannot be read, `poison` ends the process always, `once` ends it the first time, and
    `full` stands for a full disk.
    """

    def __init__(self, folder: str, out: str) -> None:
        if not Path(folder).is_dir():
            raise DataError(f"no folder {folder}")
        self._folder, self._out = Path(folder), Path(out)

    def ready(self) -> bool:
        return True

    def process(self, name: str) -> dict[str, Any]:
        content = (self._folder / name).read_text()
        mark = self._out / f".{name}.tried"
        if content == "bad":
            return {"error": f"{name} is bad"}
        if content == "full":
            raise DataError(f"cannot write {name}: No space left on device")
        if content == "poison" or (content == "once" and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        target = self._out / f"{name}.jsonl"
        partial = self._out / f".{name}.{os.getpid()}.partial"
        partial.write_text(content)
        partial.replace(target)
        return {"output": target.name, "frames": 1, "objects": 2, "seconds": 0.0, "pid": os.getpid()}

    def close(self) -> None:
        pass
