"""From what a user wrote, a name or a path, to a file that is there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from streamseg.errors import WeightsError
from streamseg.weights.cache import weights_folder
from streamseg.weights.catalogue import CATALOGUE, OfficialWeights, edition_at, find_official, suggest_names
from streamseg.weights.download import Progress, download

__all__ = ["fetch_official", "cached_weights_path", "resolve_weights"]

_logger = logging.getLogger(__name__)


def cached_weights_path(entry: OfficialWeights) -> Path:
    """Where official weights lie once they were downloaded; the file need not be there."""
    return weights_folder() / entry.file_name


def fetch_official(entry: OfficialWeights, target: Path | None = None, *, progress: Progress | None = None) -> Path:
    """The file of official weights: what is there already when its hash is right, else downloaded.

    What is said about the licence is logged as a warning before a download.

    Args:
        entry: of the catalogue.
        target: where it is to lie; None: in the cache folder. A file there with other contents is replaced.
        progress: called for every piece received.

    Raises:
        WeightsError: it cannot be downloaded or written.
    """
    target = cached_weights_path(entry) if target is None else target
    if edition_at(target, entry.files) is not None:
        return target
    if target.is_file():
        _logger.warning("%s is damaged or another file than %s; it is downloaded again", target, entry.name)
    _logger.warning("the licence of %s is %s; streamseg ships no copy", entry.name, entry.licence_text())
    _logger.info("downloading %s (%.1f MB) to %s", entry.name, entry.files[0].num_bytes / 1e6, target)
    return download(entry.files, target, progress=progress)


def resolve_weights(
    source: str | Path, *, progress: Progress | None = None, catalogue: Sequence[OfficialWeights] = CATALOGUE
) -> Path:
    """The file that a path or a name of the catalogue stands for; a name's file is downloaded the first time.

    A file that exists is taken before a name of the same spelling.

    Raises:
        WeightsError: there is no such file and no such name, or the download fails; says what to do.
    """
    path = Path(source)
    if path.is_file():
        return path
    entry = find_official(path.name, catalogue)
    if entry is not None and str(source) == path.name:
        return fetch_official(entry, progress=progress)
    if entry is not None:
        raise WeightsError(
            f"no weights at {path}; `streamseg weights get {entry.name}` fetches these, for --weights {entry.name}, "
            f"and `streamseg weights get {path.name} --out {path.parent}` puts them there"
        )
    near = suggest_names(path.name, catalogue)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    names = ", ".join(repr(name) for name in ("default", *(entry.name for entry in catalogue)))
    raise WeightsError(
        f"no weights at {path}; allowed are {names} and the path of a .safetensors, .pt or .onnx file{hint}"
    )
