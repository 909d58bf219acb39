"""The images of tasks: files below one folder, or downloads from one Label Studio. Nothing else can be reached."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from streamseg.errors import ConfigError, DataError

__all__ = ["MAX_IMAGE_BYTES", "ImageAddress", "ImagePlaces", "check_origin"]

MAX_IMAGE_BYTES: Final = 64 << 20
"""Maximum size of an image file."""
LOCAL_FILES: Final = "/data/local-files/"
DATA: Final = "/data/"


class ImageAddress(str):
    """URL of an image at the allowed Label Studio."""


def check_origin(url: str) -> str:
    """Return `scheme://host[:port]` of the address of a Label Studio; raise ConfigError if it is none."""
    parts = urlsplit(url)
    try:
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"{url[:100]!r}: {error}") from error
    is_plain = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise ConfigError(f"{url[:100]!r} is not the address of a Label Studio, such as http://localhost:8080")
    return f"{parts.scheme}://{parts.netloc}".lower()


class ImagePlaces:
    """Finds the image that a task refers to.

    Args:
        root: folder of the images: of Label Studio's local storage, or its media folder; None: no files.
        origin: `scheme://host[:port]` of the Label Studio that images may be downloaded from; None: no downloads.

    Raises:
        ConfigError: both are None, or the folder does not exist.
    """

    def __init__(self, root: Path | None, origin: str | None) -> None:
        if root is None and origin is None:
            raise ConfigError("give --root FOLDER for images on this machine, or --from URL of the Label Studio")
        if root is not None and not root.is_dir():
            raise ConfigError(f"--root {root} is not a folder")
        self._root = None if root is None else root.resolve()
        self._origin = origin

    def find(self, reference: object) -> Path | ImageAddress:
        """Return the file or the address of an image.

        Args:
            reference: value of the task's data: `/data/local-files/?d=PATH`, `/data/upload/…`, a path below the
                folder, or an address at the Label Studio.

        Raises:
            DataError: it is none of these, or a file that does not exist.
        """
        if not isinstance(reference, str) or not 0 < len(reference) <= 4096 or "\0" in reference:
            raise DataError(f"a task's image must be a path or an address, got {str(reference)[:80]!r}")
        parts = urlsplit(reference)
        if parts.scheme or parts.netloc:
            if f"{parts.scheme}://{parts.netloc}".lower() != self._origin:
                allowed = f"; only {self._origin} is allowed" if self._origin else "; start the backend with --from URL"
                raise DataError(f"images of {parts.scheme}://{parts.netloc[:80]} are not downloaded{allowed}")
            return ImageAddress(reference)
        if self._root is None:
            if not reference.startswith(DATA):
                raise DataError(f"{reference[:200]!r} is a file, and the backend has no --root")
            return ImageAddress(f"{self._origin}{reference}")
        return self._file(_relative_path(parts.path, parts.query, reference))

    def _file(self, relative: str) -> Path:
        """Return the file at a path below the folder; raises DataError."""
        assert self._root is not None
        path = (self._root / PurePosixPath(relative.lstrip("/"))).resolve()
        if not path.is_relative_to(self._root):
            raise DataError(f"{relative[:200]!r} is not below the folder of --root")
        if not path.is_file():
            raise DataError(f"there is no image {relative[:200]!r} below the folder of --root")
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise DataError(f"{relative[:200]!r} has more than {MAX_IMAGE_BYTES >> 20} MB")
        return path


def _relative_path(path: str, query: str, reference: str) -> str:
    """Return the path of a file from Label Studio's reference to it."""
    if path.startswith(LOCAL_FILES):
        found = parse_qs(query).get("d", [""])[0]
        if not found:
            raise DataError(f"{reference[:200]!r} names no file; Label Studio writes {LOCAL_FILES}?d=PATH")
        return found
    return unquote(path.removeprefix(DATA)) if path.startswith(DATA) else reference
