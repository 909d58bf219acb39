"""The import order of the package, and which module may use which library, read from the source with `ast`."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.paths import PACKAGE

ORDER = (
    "errors, redaction < structures < geometry, config, rle, telemetry, paths, resources, imaging < propagation <"
    " synthetic, modeling, tracking, prompting, wire, datasets < capture, weights < engines, drawing <"
    " segmentation, text, ros, mqtt, zones < tiers < pipeline < publish, collecting < runtime < training, evaluation"
    " < fastsam < viewer, metrics, bridges, fleet, label_studio < cli, compat < __main__"
)
"""The import order: a unit imports units of earlier groups only, never a peer of its own group."""

GROUPS = tuple(tuple(group.split(", ")) for group in ORDER.split(" < "))

RANK = {unit: rank for rank, group in enumerate(GROUPS) for unit in group}

ONLY_IN = {
    "zmq": {"publish"},
    "threading": {"runtime", "publish", "capture", "viewer", "metrics", "bridges", "fleet"},
    "queue": set[str](),
    "concurrent.futures": {"runtime"},
    "asyncio": {"viewer", "label_studio"},
    "av": {"capture", "drawing"},
    "PIL": {"imaging", "fastsam"},
    "rich": {"cli"},
    "prometheus_client": {"metrics"},
    "mcap": {"ros", "capture"},
    "rclpy": {"bridges"},
    "foxglove": {"bridges"},
    "rerun": {"bridges"},
    "paho": {"runtime"},
    "ray": {"fleet"},
    "rosbags": {"ros"},
    "cv2.VideoCapture": {"capture"},
    "pickle.load": set[str](),
    "pickle.loads": set[str](),
    "pickle.Unpickler": set[str](),
}
"""Units that may use a library, or one name of it."""

LIGHT = (
    "errors",
    "redaction",
    "resources",
    "structures.frame",
    "structures.prompt",
    "structures.message",
    "structures.mask",
    "rle",
    "wire",
    "publish",
)
"""What a subscriber imports: it runs where numpy and pyzmq are all there is."""

HEAVY = {
    "torch",
    "torchvision",
    "cv2",
    "yaml",
    "pydantic",
    "scipy",
    "av",
    "onnxruntime",
    "safetensors",
    "matplotlib",
    "rich",
    "PIL",
}


@dataclass(frozen=True)
class Import:
    """One imported module, or one name of a module."""

    name: str
    line: int
    at_import_time: bool
    """False inside functions and behind TYPE_CHECKING."""


def module_name(path: Path) -> str:
    """Dotted name without `streamseg.`; "" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, module: str, *, is_package: bool = False) -> Iterator[Import]:
    """Everything a module imports, by absolute name; `from a import b` gives both `a` and `a.b`."""
    deferred: set[ast.AST] = set()
    for node in ast.walk(ast.parse(source)):
        is_type_checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if (
            node in deferred
            or is_type_checking
            or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        ):
            # `walk` goes from the outside in, so that everything inside is marked before it comes up.
            deferred.update(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = f"streamseg.{module}".rstrip(".").split(".")
                parents = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [f"{node.value.id}.{node.attr}"] if f"{node.value.id}.{node.attr}" in ONLY_IN else []
        else:
            continue
        for name in names:
            yield Import(name, node.lineno, at_import_time=node not in deferred)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def faults(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What a module imports that it may not, wherever it does so."""
    unit = module.partition(".")[0]
    if unit not in RANK:
        return [f"{module}: {unit!r} is in no group"]
    found = []
    for imported in imports(source, module, is_package=is_package):
        where = f"{module}:{imported.line}"
        if is_within(imported.name, "streamseg"):
            other = imported.name.removeprefix("streamseg").lstrip(".").partition(".")[0]
            if other in ("", "__version__", unit):
                continue
            if other not in RANK:
                found.append(f"{where}: {imported.name} is not the home of anything")
            elif RANK[other] == RANK[unit]:
                found.append(f"{where}: {unit} and {other} are peers")
            elif RANK[other] > RANK[unit]:
                found.append(f"{where}: {other} comes after {unit}")
        for library, units in ONLY_IN.items():
            if is_within(imported.name, library) and unit not in units:
                found.append(f"{where}: {library} is only for {', '.join(sorted(units)) or 'nobody'}")
    return found


def heavy_imports(module: str, sources: dict[str, str], packages: set[str]) -> dict[str, str]:
    """Heavy libraries that importing a module brings along, each with the module that imports it."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name in seen or name not in sources:
            continue
        seen.add(name)
        # Importing a.b imports a first.
        pending.append(name.rpartition(".")[0])
        for imported in imports(sources[name], name, is_package=name in packages):
            if not imported.at_import_time:
                continue
            if is_within(imported.name, "streamseg"):
                pending.append(imported.name.removeprefix("streamseg").lstrip("."))
            elif imported.name.partition(".")[0] in HEAVY:
                found[imported.name.partition(".")[0]] = name
    return found


PATHS = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
SOURCES = {module: path.read_text(encoding="utf-8") for module, path in PATHS.items()}
PACKAGES = {module for module, path in PATHS.items() if path.name == "__init__.py"}


def test_there_is_something_to_check():
    assert {"errors", "pipeline.pipeline", "runtime.supervisor"} <= set(SOURCES)


@pytest.mark.slow
@pytest.mark.parametrize("module", [module for module in SOURCES if module])
def test_a_module_imports_only_what_comes_before_it(module: str):
    assert faults(SOURCES[module], module, is_package=module in PACKAGES) == []


@pytest.mark.slow
@pytest.mark.parametrize("module", [name for name in SOURCES if name and any(is_within(name, unit) for unit in LIGHT)])
def test_a_subscriber_needs_numpy_and_pyzmq_alone(module: str):
    assert heavy_imports(module, SOURCES, PACKAGES) == {}


class WithoutTypeChecking(ast.NodeTransformer):
    """Removes the imports that only type checkers see."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if "TYPE_CHECKING" in ast.dump(node.test) else self.generic_visit(node)


def cycles(sources: dict[str, str], packages: set[str]) -> list[list[str]]:
    """Modules that import each other in a circle, at import time or inside functions."""
    graph = {
        name: {
            target
            for imported in imports(
                ast.unparse(WithoutTypeChecking().visit(ast.parse(source))), name, is_package=name in packages
            )
            if is_within(imported.name, "streamseg")
            # The package of a module is imported with it; only the modules themselves count here.
            and (target := imported.name.removeprefix("streamseg").lstrip(".")) in sources
            and target not in packages
        }
        for name, source in sources.items()
        if name not in packages
    }
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        return [list(error.args[1])]
    return []


@pytest.mark.slow
def test_no_module_imports_itself_through_others():
    assert cycles(SOURCES, PACKAGES) == []


# ---- the checker itself: it must find what is planted


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        pytest.param("structures.frame", "from streamseg.config import Config", "config comes after", id="later-group"),
        pytest.param("tracking.tracker", "import streamseg.prompting", "are peers", id="peer"),
        pytest.param("tracking", "from streamseg import prompting", "are peers", id="peer-from-the-package"),
        pytest.param("runtime.workers", "from ..cli import main", "cli comes after", id="relative"),
        pytest.param(
            "wire", "def f():\n    from streamseg.publish import Publisher", ":2: publish comes", id="deferred"
        ),
        pytest.param(
            "pipeline", "if TYPE_CHECKING:\n    import streamseg.runtime", "runtime comes", id="type-checking"
        ),
        pytest.param("cli.run", "from streamseg import Segmenter", "is not the home", id="not-from-its-home"),
        pytest.param("extras.x", "import os", "is in no group", id="unknown-unit"),
        pytest.param("runtime.sinks", "import zmq", "zmq is only for publish", id="zmq"),
        pytest.param("cli.subscribe", "def f():\n    import zmq.utils.monitor", "zmq is only for", id="zmq-deferred"),
        pytest.param("pipeline", "from threading import Thread", "threading is only for", id="threading"),
        pytest.param("engines.torch_engine", "from concurrent.futures import wait", "only for runtime", id="futures"),
        pytest.param("evaluation.clips", "import av", "av is only for", id="av"),
        pytest.param("cli.segment", "import cv2\ncv2.VideoCapture(0)", "cv2.VideoCapture is only", id="video-capture"),
        pytest.param(
            "cli.segment", "from cv2 import VideoCapture", "cv2.VideoCapture is only", id="video-capture-name"
        ),
        pytest.param("wire", "import pickle\npickle.loads(b'')", "pickle.loads is only for nobody", id="pickle"),
    ],
)
def test_planted_faults_are_found(module: str, source: str, fault: str):
    assert [found for found in faults(source, module) if fault in found]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        pytest.param("pipeline", "from streamseg.tracking import Tracker", id="earlier-group"),
        pytest.param("runtime.workers", "from streamseg.runtime.frame_queue import FrameQueue", id="same-unit"),
        pytest.param("cli.main", "from streamseg import __version__", id="version"),
        pytest.param("capture.webcam", "import cv2, threading\ncv2.VideoCapture(0)", id="allowed-libraries"),
        pytest.param("pipeline", "import avro, zmqtt", id="other-library-with-the-same-start"),
    ],
)
def test_what_is_allowed_is_not_found(module: str, source: str):
    assert faults(source, module) == []


def test_relative_imports_of_a_package_start_at_itself():
    assert [i.name for i in imports("from . import a", "runtime", is_package=True)] == [
        "streamseg.runtime",
        "streamseg.runtime.a",
    ]
    assert [i.name for i in imports("from .. import a", "runtime.x")] == ["streamseg", "streamseg.a"]


@pytest.mark.parametrize(
    ("sources", "heavy"),
    [
        pytest.param({"wire": "import torch.nn"}, {"torch"}, id="direct"),
        pytest.param({"wire": "from cv2 import imencode"}, {"cv2"}, id="from"),
        pytest.param({"wire": "try:\n    import yaml\nexcept ImportError:\n    pass"}, {"yaml"}, id="in-try"),
        pytest.param(
            {"wire": "from streamseg.config import Config", "config": "import pydantic"}, {"pydantic"}, id="indirect"
        ),
        pytest.param(
            {"wire": "import streamseg.rle.coco", "rle": "import torch", "rle.coco": ""}, {"torch"}, id="by-package"
        ),
        pytest.param(
            {"wire": "from streamseg.rle import coco", "rle": "", "rle.coco": "import cv2"}, {"cv2"}, id="submodule"
        ),
        pytest.param({"wire": "class A:\n    import torch"}, {"torch"}, id="class-body"),
        pytest.param({"wire": "def f():\n    if True:\n        import torch"}, set(), id="in-function"),
        pytest.param({"wire": "if TYPE_CHECKING:\n    import torch"}, set(), id="type-checking"),
        pytest.param({"wire": "import numpy, zmq, json"}, set(), id="light"),
    ],
)
def test_heavy_imports(sources: dict[str, str], heavy: set[str]):
    assert set(heavy_imports("wire", sources, {"rle"})) == heavy


def test_cycles_are_found():
    first, second = "from streamseg.wire.second import x", "from streamseg.wire import first"
    sources = {"wire": "", "wire.first": first, "wire.second": second}
    assert [sorted(set(cycle)) for cycle in cycles(sources, {"wire"})] == [["wire.first", "wire.second"]]
    late = "def f():\n    from streamseg.wire import first"
    assert cycles({**sources, "wire.second": late}, {"wire"})
    for_types = "if TYPE_CHECKING:\n    from streamseg.wire import first"
    assert cycles({**sources, "wire.second": for_types}, {"wire"}) == []
