"""Resolve a name or path of weights to a local file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from streamseg.errors import WeightsError
from streamseg.paths import weights_folder
from streamseg.weights.catalogue import CATALOGUE, OfficialWeights, edition_at, find_official, suggest_names
from streamseg.weights.download import Progress, download
from streamseg.weights.embedded import EMBEDDED, embedded_path

__all__ = ["cached_weights_path", "fetch_official", "find_weights", "resolve_weights"]

_logger = logging.getLogger(__name__)


def cached_weights_path(entry: OfficialWeights) -> Path:
    """Return the path of official weights in the cache folder, where the file may not exist yet."""
    return weights_folder() / entry.file_name


def fetch_official(entry: OfficialWeights, target: Path | None = None, *, progress: Progress | None = None) -> Path:
    """Return the file of official weights; download it if it is missing or its hash is wrong.

    Before a download, the statements about its licence are logged as a warning.

    Args:
        entry: entry of the catalogue.
        target: destination; None: in the cache folder. An existing file with other contents is replaced.
        progress: called for every chunk received.

    Raises:
        WeightsError: it cannot be downloaded or written.
    """
    target = cached_weights_path(entry) if target is None else target
    if edition_at(target, entry.files) is not None:
        return target
    if target.is_file():
        _logger.warning("%s is damaged or is not %s; downloading it again", target, entry.name)
    _logger.warning("the licence of %s is %s; streamseg does not distribute it", entry.name, entry.licence_text())
    _logger.info("downloading %s (%.1f MB) to %s", entry.name, entry.files[0].num_bytes / 1e6, target)
    return download(entry.files, target, progress=progress)


def resolve_weights(
    source: str | Path, *, progress: Progress | None = None, catalogue: Sequence[OfficialWeights] = CATALOGUE
) -> Path:
    """Return the file that a path or a name of the catalogue refers to, downloading it on first use of a name.

    An existing file takes precedence over a name with the same spelling.

    Raises:
        WeightsError: there is no such file or name, or the download fails; the message suggests a solution.
    """
    found = find_weights(source, catalogue)
    return fetch_official(found, progress=progress) if isinstance(found, OfficialWeights) else found


def find_weights(source: str | Path, catalogue: Sequence[OfficialWeights] = CATALOGUE) -> Path | OfficialWeights:
    """Return the file at a path, or the entry of a name of the catalogue, without downloading it.

    Raises:
        WeightsError: there is no such file or name; the message suggests a solution.
    """
    path = Path(source)
    if path.is_file():
        return path
    if str(source) in EMBEDDED:
        return embedded_path(str(source))
    entry = find_official(path.name, catalogue)
    if entry is not None and str(source) == path.name:
        return entry
    if entry is not None:
        raise WeightsError(
            f"no weights at {path}; run `streamseg weights get {entry.name}` and use --weights {entry.name}, "
            f"or run `streamseg weights get {path.name} --out {path.parent}` to save them there"
        )
    suggested = suggest_names(path.name, catalogue)
    hint = f"; did you mean {' or '.join(suggested)}?" if suggested else ""
    names = ", ".join(repr(name) for name in (*EMBEDDED, *(entry.name for entry in catalogue)))
    raise WeightsError(
        f"no weights at {path}; allowed are {names} and the path of a .safetensors, .pt or .onnx file{hint}"
    )
