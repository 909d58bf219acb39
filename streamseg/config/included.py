"""Configurations and training recipes that are part of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from streamseg.errors import ConfigError, reason_of

__all__ = ["find_included", "included_configs", "read_config_text"]

FOLDER: Final = Path(__file__).parents[1] / "assets" / "configs"


def included_configs() -> dict[str, Path]:
    """Return the file of each included configuration by its name, such as "demo", sorted."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def find_included(name: str | Path) -> Path | None:
    """Return the file of an included configuration; None if there is no such configuration.

    Args:
        name: `demo`, `demo.yaml` or `configs/demo.yaml`.
    """
    path = Path(name)
    if path.parent not in (Path(), Path("configs")) or path.suffix not in ("", ".yaml"):
        return None
    return included_configs().get(path.stem)


def read_config_text(name: str | Path, noun: str) -> str:
    """Return the text of a file, or, if it does not exist, of the included configuration of that name.

    Args:
        name: path, or name of an included configuration.
        noun: "configuration" or "recipe", for the error.

    Raises:
        ConfigError: neither exists, or it cannot be read as UTF-8.
    """
    path = Path(name)
    included = find_included(path)
    try:
        return (path if included is None or path.is_file() else included).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        names = ", ".join(included_configs())
        raise ConfigError(f"cannot read the {noun} {path}: it does not exist; included are {names}") from error
    except OSError as error:
        raise ConfigError(f"cannot read the {noun} {path}: {reason_of(error)}") from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ConfigError(
            f"cannot read the {noun} {path}: it is not text in UTF-8 (byte 0x{byte:02x} at position {error.start});"
            " save it as UTF-8, or give another file"
        ) from error
