"""HEIC and HEIF, the formats of telephones: read if pi-heif (extra `heic`) is installed."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["register_heif"]


def register_heif() -> bool:
    """Add the format "HEIF" to Pillow; return False if pi-heif is not installed. Repeated calls have no effect."""
    if find_spec("pi_heif") is None:
        return False
    from pi_heif import register_heif_opener

    register_heif_opener()
    return True
