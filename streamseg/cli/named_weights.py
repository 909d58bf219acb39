"""Official weights on the command line: downloaded before anything else begins, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.cli.progress import ProgressBar

if TYPE_CHECKING:
    from streamseg.weights.catalogue import OfficialWeights

__all__ = ["download_bar", "fetch_named"]


@contextmanager
def download_bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar in megabytes, which appears with the first bytes."""
    bar: ProgressBar | None = None

    def show(received: int, total: int) -> None:
        nonlocal bar
        megabytes = max(round(total / 1e6), 1)
        bar = bar or ProgressBar("MB", megabytes)
        bar.update(megabytes * received // total)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


def fetch_named(source: str, catalogue: Sequence[OfficialWeights] | None = None) -> None:
    """Have the file of official weights ready when `source` is their name; do nothing for anything else.

    Raises:
        WeightsError: they cannot be downloaded.
    """
    from streamseg.weights.catalogue import CATALOGUE, find_official
    from streamseg.weights.resolve import fetch_official, kept_path

    entry = find_official(source, CATALOGUE if catalogue is None else catalogue)
    # A file that is kept is checked when it is loaded.
    if entry is not None and not Path(source).is_file() and not kept_path(entry).is_file():
        with download_bar() as progress:
            fetch_official(entry, progress=progress)
