"""The recordings of one run as sources that are replayed together."""

from __future__ import annotations

import json
from pathlib import Path

from streamseg.config.sources import RECORDING_INDEX_NAME, RecordingSource, SourceConfig, parse_source
from streamseg.errors import ConfigError, counted

__all__ = ["parse_sources"]


def parse_sources(text: str) -> list[SourceConfig]:
    """Parse the sources that one command-line argument names: one, or all recordings in the folder of a run.

    Recordings of a run start as far apart as they did originally.

    Raises:
        ConfigError: the text is empty, the address of a stream cannot be opened, or a folder contains several runs.
    """
    section_of_text = parse_source(text)  # first: an empty text is no folder
    folders = [index.parent for index in sorted(Path(text.strip()).glob(f"*/{RECORDING_INDEX_NAME}"))]
    recordings = [section for folder in folders if isinstance(section := parse_source(str(folder)), RecordingSource)]
    if not recordings:
        runs = sorted({index.parent.parent for index in Path(text.strip()).glob(f"*/*/{RECORDING_INDEX_NAME}")})
        if runs:
            raise ConfigError(
                f"{text.strip()} contains the recordings of {counted(len(runs), 'run')}; give the folder of"
                f" one, such as {runs[-1]}"
            )
        return [section_of_text]
    starts = {section.path: _start_seconds(Path(section.path)) for section in recordings}
    known = [start for start in starts.values() if start is not None]
    return [
        section.model_copy(update={"delay_seconds": min(start - min(known), 86400.0)})
        if (start := starts[section.path]) is not None
        else section
        for section in recordings
    ]


def _start_seconds(folder: Path) -> float | None:
    """Return the capture time of the first frame; None if it cannot be read, which the replay reports."""
    try:
        with min(folder.glob("*.jsonl")).open(encoding="utf-8") as lines:
            stamp = json.loads(next(lines))["stamp"]
        return float(stamp["sec"]) + float(stamp["nanosec"]) / 1e9
    except (OSError, ValueError, LookupError, TypeError, StopIteration):
        return None
