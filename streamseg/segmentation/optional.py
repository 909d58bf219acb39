"""Packages that only conversions need, and that are no dependencies."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from streamseg.errors import DataError

__all__ = ["import_optional"]


def import_optional(package: str, method: str) -> ModuleType:
    """Import a package for a method.

    Raises:
        DataError: it is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise DataError(
            f"{method}() needs the package {package}, which is not installed; run: pip install {package}"
        ) from error
