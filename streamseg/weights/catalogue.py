"""Catalogue of official weights: names, file hashes, URLs and statements about their licences.

Each of them exists in two editions with the same name and different bytes: the file published by the authors, and the
one of the Ultralytics releases. Both are pinned by hash. Neither is distributed with streamseg.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamseg.weights.embedded import EMBEDDED

__all__ = [
    "CATALOGUE",
    "LicenceStatement",
    "OfficialWeights",
    "RemoteFile",
    "edition_at",
    "find_by_sha256",
    "find_official",
    "suggest_names",
]


@dataclass(frozen=True)
class LicenceStatement:
    """Licence of a file, as stated by one source."""

    licence: str
    """SPDX identifier."""
    stated_by: str
    """Source of the statement."""


@dataclass(frozen=True)
class RemoteFile:
    """A file with known contents, available at one or more URLs."""

    publisher: str
    num_bytes: int
    sha256: str
    """Hash of the whole file, as hexadecimal digits."""
    urls: tuple[str, ...]
    """URLs in the order in which they are tried."""


@dataclass(frozen=True)
class OfficialWeights:
    """Official weights, available by name."""

    name: str
    file_name: str
    """File name in the cache folder."""
    aliases: tuple[str, ...]
    """Other accepted names, including file names; not case-sensitive."""
    files: tuple[RemoteFile, ...]
    """Equally valid editions, in the order in which they are tried."""
    licences: tuple[LicenceStatement, ...]
    """Statements about the licence, which may contradict each other."""

    def licence_text(self) -> str:
        """Return all statements on one line."""
        stated = "; ".join(f"{statement.licence} ({statement.stated_by})" for statement in self.licences)
        contested = "contested: " if len({statement.licence for statement in self.licences}) > 1 else ""
        return f"{contested}{stated}"


_FASTSAM_LICENCES = (
    LicenceStatement("Apache-2.0", "README of CASIA-IVA-Lab/FastSAM, and its LICENSE file until 2023-11-07"),
    LicenceStatement("AGPL-3.0", "that LICENSE file since 2023-11-07, and the metadata of exported files"),
)

_ULTRALYTICS = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
_HUGGING_FACE = "https://huggingface.co"

CATALOGUE: tuple[OfficialWeights, ...] = (
    OfficialWeights(
        name="FastSAM-s",
        file_name="FastSAM-s.pt",
        aliases=("FastSAM-s.pt",),
        files=(
            RemoteFile(
                publisher="Ultralytics",
                num_bytes=23_851_578,
                sha256="c9f78716a81c7aff0d608ccc73e1b82ab3aaad86005049f6a92106a0be6d0844",
                urls=(f"{_ULTRALYTICS}/FastSAM-s.pt",),
            ),
            RemoteFile(
                publisher="FastSAM's authors",
                num_bytes=23_832_055,
                sha256="e9034d7478a8e9d1bfb57b51592e521a253287c7cdcf79258f61ea6d68584a0d",
                urls=(f"{_HUGGING_FACE}/hjgp/fastsam/resolve/main/FastSAM-s.pt",),
            ),
        ),
        licences=_FASTSAM_LICENCES,
    ),
    OfficialWeights(
        name="FastSAM-x",
        file_name="FastSAM-x.pt",
        aliases=("FastSAM-x.pt", "FastSAM", "FastSAM.pt"),
        files=(
            RemoteFile(
                publisher="FastSAM's authors",
                num_bytes=144_943_063,
                sha256="c0be4e7ddbe4c15333d15a859c676d053c486d0a746a3be6a7a9790d52a9b6d7",
                urls=(
                    f"{_HUGGING_FACE}/spaces/An-619/FastSAM/resolve/main/weights/FastSAM.pt",
                    f"{_HUGGING_FACE}/conrevo/Segment-Anything-A1111/resolve/main/FastSAM-x.pt",
                    f"{_HUGGING_FACE}/joselobenitezg/fast-sam-x/resolve/main/FastSAM-x.pt",
                ),
            ),
            RemoteFile(
                publisher="Ultralytics",
                num_bytes=144_972_346,
                sha256="752cadc2828edb1cd4bc4f9eb587100631af06ea2108f4c9ed56df4755701e76",
                urls=(f"{_ULTRALYTICS}/FastSAM-x.pt",),
            ),
        ),
        licences=_FASTSAM_LICENCES,
    ),
)
"""Official weights. The editions whose hash is confirmed by most sources come first."""


def edition_at(path: Path, files: Sequence[RemoteFile]) -> RemoteFile | None:
    """Return the edition stored at a path, or None if the file is missing, unknown or damaged."""
    if not path.is_file() or path.stat().st_size not in {file.num_bytes for file in files}:
        return None
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return next((file for file in files if file.sha256 == sha256), None)


def find_official(name: str, catalogue: Sequence[OfficialWeights] = CATALOGUE) -> OfficialWeights | None:
    """Return the entry with this name or alias, or None."""
    key = name.lower()
    for entry in catalogue:
        if key in {entry.name.lower(), *(alias.lower() for alias in entry.aliases)}:
            return entry
    return None


def find_by_sha256(
    sha256: str, catalogue: Sequence[OfficialWeights] = CATALOGUE
) -> tuple[OfficialWeights, RemoteFile] | None:
    """Return the entry and the edition with this hash, or None if it is not an official file."""
    for entry in catalogue:
        for file in entry.files:
            if file.sha256 == sha256:
                return entry, file
    return None


def suggest_names(name: str, catalogue: Sequence[OfficialWeights] = CATALOGUE) -> list[str]:
    """Return up to three valid names similar to an unknown one, most similar first."""
    known = {entry.name.lower(): entry.name for entry in catalogue} | {name: name for name in EMBEDDED}
    return [known[near] for near in difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)]
