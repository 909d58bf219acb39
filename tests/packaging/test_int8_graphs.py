"""Graphs in 8 bits in the package: made from the weights beside them, accurate enough, and small."""

import zlib
from pathlib import Path

import pytest

from streamseg.engines.int8_graphs import find_int8_graph, int8_paths
from streamseg.engines.openvino_model import read_xml
from streamseg.weights import load_weights
from tests.support.openvino import WITH_OPENVINO
from tests.support.paths import PACKAGE

GRAPHS = sorted((PACKAGE / "assets").glob("*-int8.xml"))

MAX_BYTES = 4_000_000
"""Largest size in the wheel, which is compressed."""


def weights_of(graph: Path) -> Path:
    return graph.with_name(f"{graph.stem.removesuffix('-int8')}.safetensors")


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda path: path.stem)
def test_graph_adds_little_to_the_wheel(graph: Path):
    sizes = [len(zlib.compress(path.read_bytes())) for path in (graph, graph.with_suffix(".bin"))]
    assert sum(sizes) <= MAX_BYTES


@WITH_OPENVINO
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda path: path.stem)
def test_graph_and_tensors_belong_together(graph: Path):
    assert read_xml(graph).model.inputs


@pytest.mark.slow
@WITH_OPENVINO
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda path: path.stem)
def test_graph_is_the_one_of_the_weights_beside_it(graph: Path):
    weights = load_weights(weights_of(graph))
    found = find_int8_graph(weights)
    assert int8_paths(weights)[0] == graph
    assert found is not None, "made from other weights or not accurate enough; run `streamseg quantize` again"
    assert found[0] == graph


def test_every_graph_has_weights_and_tensors_beside_it():
    assert [path for path in GRAPHS if not weights_of(path).is_file() or not path.with_suffix(".bin").is_file()] == []
