"""TensorRT's plans: built from exported graphs, and cached with the times of kernels that their building measures.

A plan serves the GPU, the version of TensorRT and the graph that it was built for; building takes minutes. Nothing here
has run on a GPU yet.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from streamseg.engines.onnx_providers import MAX_SIDE, MIN_SIDE, TYPICAL_SIDES
from streamseg.errors import EngineError, WeightsError
from streamseg.weights import write_atomically

__all__ = ["BATCHES", "build_plan", "cached_plan", "graph_for_tensorrt", "load_tensorrt", "plan_path"]

BATCHES: Final = (1, 2, 4, 8, 16)
"""Batch sizes, each with a profile of its own: kernels are chosen for exactly this size."""

WORKSPACE_BYTES: Final = 2 << 30

_logger = logging.getLogger(__name__)


def load_tensorrt() -> Any:
    """Import TensorRT.

    Raises:
        EngineError: it is not installed, too old, or its libraries cannot be loaded.
    """
    try:
        tensorrt = importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise EngineError(
            f"engine tensorrt needs TensorRT 10 or newer: pip install tensorrt, or use engine device ({reason})"
        ) from error
    if int(str(tensorrt.__version__).partition(".")[0]) < 10:
        raise EngineError(f"engine tensorrt needs TensorRT 10 or newer, found {tensorrt.__version__}; update it")
    return tensorrt


def graph_for_tensorrt(graph: bytes) -> bytes:
    """Return an exported graph in a form that TensorRT reads: bytes are converted before they are transposed.

    TensorRT takes bytes as inputs of a conversion only.

    Raises:
        EngineError: the graph does not begin as streamseg's graphs do.
    """
    import onnx

    model = onnx.load_model_from_string(graph)
    nodes = model.graph.node
    (transpose,) = (node for node in nodes if "images" in node.input)
    following = [node for node in nodes if transpose.output[0] in node.input]
    if transpose.op_type != "Transpose" or [node.op_type for node in following] != ["Cast"]:
        raise EngineError("engine tensorrt reads graphs that streamseg exported only; use the weights they came from")
    cast = following[0]
    between, end = transpose.output[0], cast.output[0]
    cast.input[0], cast.output[0] = "images", between
    transpose.input[0], transpose.output[0] = between, end
    first, second = sorted((list(nodes).index(transpose), list(nodes).index(cast)))
    ordered = list(nodes)
    ordered[first], ordered[second] = cast, transpose
    del model.graph.value_info[:]  # the types of what lies in between have changed
    del nodes[:]
    nodes.extend(ordered)
    contents: bytes = model.SerializeToString()
    return contents


def plan_path(folder: Path, graph: bytes, *, gpu: str, version: str, typical: tuple[int, int] = TYPICAL_SIDES) -> Path:
    """Return the path of the plan of a graph for a GPU, given by its name, and a version of TensorRT."""
    key = "\0".join([hashlib.sha256(graph).hexdigest(), gpu, version, str(BATCHES), str(MAX_SIDE), str(typical)])
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.plan"


def cached_plan(
    tensorrt: Any, graph: bytes, *, gpu: str, folder: Path, typical: tuple[int, int] = TYPICAL_SIDES
) -> bytes:
    """Return the plan of a graph as `export_graph` returns it, building it the first time only; see `build_plan`.

    Raises:
        EngineError: TensorRT cannot build it.
    """
    path = plan_path(folder, graph, gpu=gpu, version=str(tensorrt.__version__), typical=typical)
    if path.is_file():
        return path.read_bytes()
    _logger.warning("TensorRT builds the network for %s, once; this takes minutes", gpu)
    timings = path.with_name(f"timings-{tensorrt.__version__}.cache")
    known = timings.read_bytes() if timings.is_file() else b""
    plan, measured = build_plan(tensorrt, graph_for_tensorrt(graph), timings=known, typical=typical)
    for target, contents in ((path, plan), (timings, measured)):
        try:
            with write_atomically(target) as temporary:
                temporary.write_bytes(contents)
        except WeightsError as error:
            _logger.warning("could not cache %s, so it will be built again next time: %s", target.name, error)
    return plan


def build_plan(
    tensorrt: Any,
    graph: bytes,
    *,
    timings: bytes = b"",
    batches: Sequence[int] = BATCHES,
    typical: tuple[int, int] = TYPICAL_SIDES,
) -> tuple[bytes, bytes]:
    """Build the plan of a graph, with one profile per batch size.

    The network is strongly typed: layers compute in the precision that the graph states, half or single, and decoding
    stays in float32. TF32 is off.

    Args:
        tensorrt: the module.
        graph: contents of an .onnx file whose input is `images`, (batch, height, width, 3).
        timings: times that an earlier build has measured.
        batches: batch sizes, ascending; building takes time for each of them.
        typical: sides (H, W) of the input that kernels are chosen for; others are possible.

    Returns:
        The plan, and the times that are known now.

    Raises:
        EngineError: TensorRT cannot read the graph or build it.
    """
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(graph):
        reasons = [str(parser.get_error(number).desc()) for number in range(parser.num_errors)]
        raise EngineError(f"TensorRT cannot read the network: {'; '.join(reasons)[:300]}; use engine device")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.clear_flag(tensorrt.BuilderFlag.TF32)
    config.set_timing_cache(config.create_timing_cache(timings), False)
    for batch in batches:
        profile = builder.create_optimization_profile()
        sides = ((MIN_SIDE,) * 2, typical, (MAX_SIDE,) * 2)
        profile.set_shape("images", *((batch, *pair, 3) for pair in sides))
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError("TensorRT cannot build the network for this GPU; use engine device")
    return bytes(plan), bytes(config.get_timing_cache().serialize())
