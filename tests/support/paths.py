"""Folders of the repository."""

from pathlib import Path

__all__ = ["GOLDEN", "PACKAGE", "REPOSITORY", "TESTS"]

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "streamseg"
TESTS = REPOSITORY / "tests"
GOLDEN = TESTS / "golden"
