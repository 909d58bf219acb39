"""Build hook: adds the modules of streamseg that a subscriber needs to the wheel and to the source distribution."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BundledModules(BuildHookInterface[Any]):
    """Includes the modules `roots` and all that they import, from the repository or from a source distribution."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add each file by its path in the archive.

        Raises:
            FileNotFoundError: streamseg is neither in this folder nor beside it, or does not contain a root.
        """
        root = Path(self.root)
        home = root if (root / "streamseg").is_dir() else root.parent
        is_wheel = self.target_name == "wheel"
        parent = "streamseg_client/bundled/" if is_wheel else ""
        for path in [*needed_files(home, self.config["roots"]), home / "streamseg" / "py.typed"]:
            build_data["force_include"][str(path)] = f"{parent}{path.relative_to(home).as_posix()}"
        build_data["force_include"][str(home / "LICENSE")] = "streamseg_client/LICENSE" if is_wheel else "LICENSE"


def needed_files(home: Path, roots: Iterable[str]) -> list[Path]:
    """Return the files of modules and of all modules of the same packages that they import, also inside functions.

    Args:
        home: folder that contains the packages.
        roots: names of modules, or of packages with all their modules, such as `streamseg.publish`.

    Raises:
        FileNotFoundError: a root does not exist.
    """
    pending: list[Path] = []
    for root in roots:
        path = home.joinpath(*root.split("."))
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        if not files or not files[0].exists():
            raise FileNotFoundError(f"{root} is not in {home}")
        pending += files
    found: set[Path] = set()
    while pending:
        path = pending.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        # Importing a.b imports a first.
        pending += [home / parent / "__init__.py" for parent in path.relative_to(home).parents if parent != Path()]
        for name in _imported(ast.parse(path.read_text(encoding="utf-8"))):
            module = home.joinpath(*name.split("."))
            pending += [module.with_name(f"{module.name}.py"), module / "__init__.py"]
    return sorted(found)


def _imported(node: ast.AST) -> Iterator[str]:
    """Yield the names that a module imports, except for type checkers; `from a import b` yields both a and a.b."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _imported(child)
