"""Weights in the package: their names, and the ones that `default` stands for."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from streamseg.errors import WeightsError

__all__ = ["DEFAULT", "DEFAULT_IS", "EMBEDDED", "embedded_path"]

DEFAULT: Final = "default"
"""Name of the embedded weights that are used if none are given."""

DEFAULT_IS: Final = "nanodet"
"""The embedded weights that `default` stands for. Everything else about the default weights is read from their file."""

EMBEDDED: Final = (DEFAULT, "nanodet", "yolov8n")
"""Names of the weights in the package, after their architecture: `assets/NAME.safetensors`. The model card describes
them. `yolov8n` was the default before `nanodet`."""


def embedded_path(name: str) -> Path:
    """Return the path of weights in the package, by a name of `EMBEDDED`.

    Raises:
        WeightsError: this installation does not contain them.
    """
    stem = DEFAULT_IS if name == DEFAULT else name
    path = Path(str(files("streamseg").joinpath("assets", f"{stem}.safetensors")))
    if not path.is_file():
        raise WeightsError(
            f"this installation has no embedded weights {name!r} ({path} is missing); reinstall streamseg, specify a"
            " .safetensors file with --weights, or train a network with `streamseg train`"
        )
    return path
