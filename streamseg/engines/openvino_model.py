"""OpenVINO models: read from .onnx and from .xml with .bin, written as the latter, with streamseg's metadata.

OpenVINO's own format (IR) is a pair of files: FILE.xml with the operators, and FILE.bin with the tensors. Metadata of
streamseg are one JSON text in the .xml file. They include the hash of the .bin file, so that a pair of files from
different writes is recognised.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from streamseg.errors import EngineError, WeightsError, reason_of
from streamseg.weights import write_atomically
from streamseg.weights.metadata import GraphMetadata

__all__ = [
    "OpenVinoModel",
    "can_use_openvino",
    "computes_bfloat16",
    "describe_xml",
    "load_openvino",
    "openvino_core",
    "read_onnx",
    "read_xml",
    "write_xml",
]

REPORTS = "openvino_telemetry"
"""The package with which OpenVINO reports its use."""

_SECTION = "streamseg"
"""Section of a model's runtime information that holds the metadata."""

_TENSORS = "bin_sha256"
"""Metadata entry: hash of the .bin file."""


@dataclass(frozen=True, eq=False)
class OpenVinoModel:
    """A model that is not compiled yet."""

    model: Any
    """`openvino.Model`."""
    metadata: dict[str, str]
    """Strings stored in the file."""
    sha256: str
    """Hash of the .xml or .onnx file, as hexadecimal digits."""


def can_use_openvino() -> bool:
    """Return whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def load_openvino() -> Any:
    """Return the module `openvino`, without its reports to Google Analytics, which are on by default.

    Raises:
        EngineError: it is not installed, or cannot be loaded.
    """
    try:
        with _without_reports():
            import openvino
    except ModuleNotFoundError as error:
        raise EngineError(
            "the openvino engine needs OpenVINO, which is not installed; run: pip install 'streamseg[openvino]'"
        ) from error
    except (ImportError, OSError) as error:
        raise EngineError(f"OpenVINO cannot be loaded: {first_line(error)}; install openvino again") from error
    return openvino


@contextmanager
def _without_reports() -> Iterator[None]:
    """Hide the package that sends the reports while OpenVINO is imported; OpenVINO works without it.

    Each import would be reported by a process that is forked from this one, with all its sockets.
    """
    if REPORTS in sys.modules:  # the program has imported it, and decides itself
        yield
        return
    sys.modules[REPORTS] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[REPORTS]


@cache
def openvino_core() -> Any:
    """Return the `openvino.Core` of this process, which is never closed.

    On processors with AMX, each CPU plugin that a core loads gives the thread another stack for signal handlers, and at
    its end restores the former one. If plugins end in another order than they began, that one is freed, too, and the
    next signal, such as SIGTERM, kills the process.

    Raises:
        EngineError: see `load_openvino`.
    """
    return load_openvino().Core()


def computes_bfloat16() -> bool:
    """Return whether OpenVINO computes bfloat16 on this processor in hardware: with AVX512-BF16, AMX or SVE.

    Raises:
        EngineError: OpenVINO is not installed.
    """
    capabilities: list[str] = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


def read_onnx(graph: bytes, *, path: str | Path) -> OpenVinoModel:
    """Read a graph written by `streamseg export`.

    Args:
        graph: contents of the .onnx file.
        path: source of the graph, for error messages.

    Raises:
        WeightsError: the contents are not a graph, or OpenVINO lacks one of its operators.
        EngineError: OpenVINO is not installed.
    """
    core = openvino_core()
    try:
        model = core.read_model(graph)
        stored = model.get_rt_info("framework").astype(dict) if model.has_rt_info("framework") else {}
    except RuntimeError as error:
        raise WeightsError(f"{path} is not a graph that OpenVINO can use: {last_line(error)}") from error
    metadata = {str(key): str(value.astype(str)) for key, value in stored.items()}
    return OpenVinoModel(model, metadata, hashlib.sha256(graph).hexdigest())


def read_xml(path: Path) -> OpenVinoModel:
    """Read a pair of files written by `write_xml`.

    Args:
        path: path of the .xml file; the .bin file lies beside it.

    Raises:
        WeightsError: a file is missing or damaged, or the two do not belong together, or another program wrote them.
        EngineError: OpenVINO is not installed.
    """
    core = openvino_core()
    tensors = path.with_suffix(".bin")
    for file in (path, tensors):
        if not file.is_file():
            raise WeightsError(f"no file {file}; an OpenVINO model is a pair of files, {path.name} and {tensors.name}")
    try:
        graph, weights = path.read_bytes(), tensors.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {reason_of(error)}") from error
    try:
        model = core.read_model(graph, weights)
        text = model.get_rt_info(_SECTION).astype(str) if model.has_rt_info(_SECTION) else "{}"
    except RuntimeError as error:
        raise WeightsError(f"{path} is not a usable OpenVINO model: {last_line(error)}") from error
    metadata = _metadata_from_text(text, path)
    if metadata.get(_TENSORS) != hashlib.sha256(weights).hexdigest():
        known = f"{tensors} does not belong to it" if _TENSORS in metadata else "streamseg did not write it"
        raise WeightsError(f"{path} cannot be used: {known}; write both files again with `streamseg quantize`")
    return OpenVinoModel(model, metadata, hashlib.sha256(graph).hexdigest())


def describe_xml(path: Path) -> GraphMetadata:
    """Describe a pair of files written by `write_xml`.

    Raises:
        WeightsError: see `read_xml`.
        EngineError: OpenVINO is not installed.
    """
    source = read_xml(path)
    inputs, outputs = (
        {port.any_name: f"{port.element_type.get_type_name()} {port.partial_shape}" for port in ports}
        for ports in (source.model.inputs, source.model.outputs)
    )
    size = sum(file.stat().st_size for file in (path, path.with_suffix(".bin")))
    return GraphMetadata(str(path), "OpenVINO model", size, source.sha256, inputs, outputs, source.metadata)


def write_xml(model: Any, metadata: Mapping[str, str], path: Path) -> int:
    """Write a model as FILE.xml and FILE.bin. Existing files are replaced, the .xml last.

    If the process dies in between, `read_xml` rejects the pair.

    Args:
        model: `openvino.Model`.
        metadata: strings to store.
        path: path of the .xml file.

    Returns:
        Size of both files in bytes.

    Raises:
        WeightsError: the files cannot be written.
    """
    openvino = load_openvino()
    with TemporaryDirectory() as folder:
        graph, tensors = Path(folder) / "model.xml", Path(folder) / "model.bin"
        openvino.serialize(model, graph, tensors)  # the tensors do not depend on the metadata
        sha256 = hashlib.sha256(tensors.read_bytes()).hexdigest()
        model.set_rt_info(json.dumps({**metadata, _TENSORS: sha256}, sort_keys=True), _SECTION)
        openvino.serialize(model, graph, tensors)
        contents = {path.with_suffix(".bin"): tensors.read_bytes(), path: graph.read_bytes()}
    for target, content in contents.items():
        with write_atomically(target) as temporary:
            temporary.write_bytes(content)
    return sum(map(len, contents.values()))


def _metadata_from_text(text: str, path: Path) -> dict[str, str]:
    try:
        stored = json.loads(text)
    except ValueError as error:
        raise WeightsError(f"{path} is damaged: its metadata are not JSON ({error})") from error
    if not isinstance(stored, dict) or not all(isinstance(value, str) for value in stored.values()):
        raise WeightsError(f"{path} is damaged: its metadata are not strings by name")
    return stored


def first_line(error: Exception) -> str:
    """Return the first line of an error message."""
    return str(error).strip().partition("\n")[0]


def last_line(error: Exception) -> str:
    """Return the last line of an OpenVINO error, which states the reason; the others name its source files."""
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
