"""Official weights named on the command line: downloaded before anything else starts, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.cli.terminal import ProgressBar

if TYPE_CHECKING:
    from streamseg.weights.catalogue import OfficialWeights

__all__ = ["download_bar", "fetch_named"]


@contextmanager
def download_bar() -> Iterator[Callable[[int, int], None]]:
    """Yield a progress callback (bytes received, bytes in total) whose bar in MB appears with the first bytes."""
    bar: ProgressBar | None = None

    def show(received: int, total: int) -> None:
        nonlocal bar
        megabytes = max(round(total / 1e6), 1)
        bar = bar or stack.enter_context(ProgressBar("MB", megabytes))
        bar.update(megabytes * received // total)

    with ExitStack() as stack:
        yield show


def fetch_named(source: str, catalogue: Sequence[OfficialWeights] | None = None) -> None:
    """Download official weights if `source` is their name and they are not in the cache.

    Do nothing for any other source. A cached file is verified when it is loaded.

    Args:
        source: a name or a path, as given to `--weights`.
        catalogue: official weights; None for the built-in catalogue.

    Raises:
        WeightsError: the download fails.
    """
    from streamseg.weights.catalogue import CATALOGUE, find_official
    from streamseg.weights.resolve import cached_weights_path, fetch_official

    entry = find_official(source, CATALOGUE if catalogue is None else catalogue)
    if entry is not None and not Path(source).is_file() and not cached_weights_path(entry).is_file():
        with download_bar() as progress:
            fetch_official(entry, progress=progress)
