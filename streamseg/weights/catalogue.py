"""Official weights that have a name: which files they are, where they lie, and who says what about their licence.

Two editions of each are in circulation, with the same name and other bytes: the file that the authors
published, and the one of the Ultralytics releases. Both are pinned; neither comes with streamseg.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    """What one source says about the licence of a file."""

    licence: str
    """SPDX identifier."""
    stated_by: str


@dataclass(frozen=True)
class RemoteFile:
    """One file, byte for byte, that may lie at several addresses."""

    publisher: str
    num_bytes: int
    sha256: str
    """Of the whole file, as hexadecimal digits."""
    urls: tuple[str, ...]
    """In the order in which they are tried."""


@dataclass(frozen=True)
class OfficialWeights:
    """Weights that are asked for by name."""

    name: str
    file_name: str
    """What the file is called where it is kept."""
    aliases: tuple[str, ...]
    """Other names that it goes by, file names included; upper and lower case are the same."""
    files: tuple[RemoteFile, ...]
    """Its editions, in the order in which they are tried; any of them is good."""
    licences: tuple[LicenceStatement, ...]
    """Statements that contradict each other where there are several."""

    def licence_text(self) -> str:
        """All statements on one line."""
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
"""The editions whose hash is attested most often come first."""


def edition_at(path: Path, files: Sequence[RemoteFile]) -> RemoteFile | None:
    """Which of these files lies at a path; None for no file, another file or a damaged one."""
    if not path.is_file() or path.stat().st_size not in {file.num_bytes for file in files}:
        return None
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return next((file for file in files if file.sha256 == sha256), None)


def find_official(name: str, catalogue: Sequence[OfficialWeights] = CATALOGUE) -> OfficialWeights | None:
    """The entry of a name or an alias; None when there is none."""
    wanted = name.lower()
    for entry in catalogue:
        if wanted in {entry.name.lower(), *(alias.lower() for alias in entry.aliases)}:
            return entry
    return None


def find_by_sha256(
    sha256: str, catalogue: Sequence[OfficialWeights] = CATALOGUE
) -> tuple[OfficialWeights, RemoteFile] | None:
    """The entry and the edition that a file's hash belongs to; None when it is no official file."""
    for entry in catalogue:
        for file in entry.files:
            if file.sha256 == sha256:
                return entry, file
    return None


def suggest_names(name: str, catalogue: Sequence[OfficialWeights] = CATALOGUE) -> list[str]:
    """Valid names that resemble an unknown one, the nearest first, at most three; empty when none does."""
    known = {entry.name.lower(): entry.name for entry in catalogue} | {"default": "default"}
    return [known[near] for near in difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)]
