"""Every imported package is a dependency, or belongs to an extra, or is named by an error if it is missing."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from tests.support.paths import REPOSITORY
from tests.test_layers import PACKAGES, SOURCES, imports

pytestmark = pytest.mark.slow

NAMED_IF_MISSING = {"transformers", "open_clip", "supervision", "pandas", "IPython", "mlflow", "tensorboard", "wandb"}
"""Modules of other projects' programs: errors name the package to install."""
OF_OTHERS = {"pydantic_core": "pydantic", "zstandard": "mcap"}
"""Modules that come with a dependency."""

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def distributions(needs: list[str]) -> set[str]:
    """Names of requirements, normalised."""
    return {re.split(r"[<>=;\[ ]", need)[0].lower().replace("_", "-") for need in needs}


BASE = distributions(PROJECT["dependencies"])
OPTIONAL = {
    name for extra, needs in PROJECT["optional-dependencies"].items() if extra != "dev" for name in distributions(needs)
}


def imported_by_package() -> dict[str, set[str]]:
    """Top-level modules of other projects, and the modules that import them."""
    found: dict[str, set[str]] = {}
    for module, source in SOURCES.items():
        for one in imports(source, module, is_package=module in PACKAGES):
            top = one.name.partition(".")[0]
            if top != "streamseg" and top not in sys.stdlib_module_names:
                found.setdefault(OF_OTHERS.get(top, top), set()).add(module)
    return found


IMPORTED = imported_by_package()


@pytest.mark.parametrize("top", sorted(set(IMPORTED) - NAMED_IF_MISSING))
def test_imported_packages_are_declared(top: str):
    providers = {name.lower().replace("_", "-") for name in packages_distributions()[top]}
    assert providers & (BASE | OPTIONAL), f"{top}, imported by {sorted(IMPORTED[top])}, is in no list of pyproject.toml"


def test_declared_packages_are_imported():
    available = packages_distributions()
    used = {name.lower().replace("_", "-") for top in IMPORTED for name in available.get(top, ())}
    unused = {name for name in BASE | OPTIONAL if not name.startswith("onnxruntime")} - used
    assert unused == set()
