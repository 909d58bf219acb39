"""`streamseg doctor CONFIG`: try the sources of a configuration one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from streamseg.cli.findings import Finding
from streamseg.errors import StreamsegError, counted
from streamseg.redaction import redact_text

if TYPE_CHECKING:
    from streamseg.capture.probe import Probe
    from streamseg.config import Config

__all__ = ["examine_config"]

TIMEOUT_SECONDS: Final = 15.0
"""How long to wait for the first image of a source."""


def examine_config(config: Config, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[Finding]:
    """Yield one finding per problem of the configuration, then one per source, as soon as each was tried.

    Args:
        config: the configuration of a run.
        timeout_seconds: how long to wait for the first image of each source.
    """
    from streamseg.capture import open_source
    from streamseg.capture.probe import probe
    from streamseg.cli.config_checks import find_notices, find_problems

    # Sources are tried below.
    problems = [line for line in find_problems(config) if not line.startswith("sources.")]
    for line in problems:
        yield _finding("broken", *line.split(": ", 1))
    for line in [] if problems else find_notices(config):
        yield _finding("note", *line.split(": ", 1))
    for section in config.named_sources():
        try:
            found = probe(open_source(section), timeout_seconds=timeout_seconds)
        except (StreamsegError, OSError) as error:
            yield _finding("broken", section.id, str(error))
        else:
            yield _finding("ok", section.id, describe(found))


def describe(found: Probe) -> str:
    """Return what a source delivered, in one line."""
    height, width = found.size
    rate = "one frame" if found.fps is None else f"{found.fps:.1f} frames/s"
    drops = f", {counted(found.num_drops, 'frame')} dropped" if found.num_drops else ""
    return f"{width}x{height}, {rate}, first image after {found.first_seconds:.1f} s, {found.clock} clock{drops}"


def _finding(state: str, name: str, remark: str) -> Finding:
    return Finding(name, state, redact_text(" ".join(remark.removeprefix(f"{name}: ").split())))
