import base64

import pytest
import torch

from streamseg.engines.export import REFINER_GRAPH, export_graph, graph_metadata
from streamseg.engines.onnx_engine import OnnxEngine
from streamseg.engines.onnx_refiner import OnnxRefiner, open_refiner
from streamseg.errors import WeightsError
from streamseg.modeling.refiner import refiner_to_graph
from streamseg.weights import load_weights
from tests.support.networks import lively_network
from tests.support.refiners import (
    PLACE,
    random_image,
    random_instances,
    random_prototypes,
    refined_file,
    trained_refiner,
)

pytestmark = pytest.mark.slow


def as_graph(refiner):
    return open_refiner(refiner, base64.b64encode(refiner_to_graph(refiner)).decode(), path="n.onnx")


@pytest.mark.parametrize("count", [1, 3, 40])
def test_both_runtimes_agree(count):
    """Corrections, some of 20 and more, and scores agree to 1e-3: the summation order and `exp` differ."""
    refiner, instances = trained_refiner(), random_instances(count)
    by_torch, scores = refiner.refine(instances, random_prototypes(), random_image(), PLACE)
    by_graph, graph_scores = as_graph(refiner).refine(instances, random_prototypes(), random_image(), PLACE)
    assert by_torch.corrections.abs().max() > 2
    torch.testing.assert_close(by_graph.corrections, by_torch.corrections, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(graph_scores, scores, rtol=0, atol=1e-3)


def test_no_objects():
    instances = random_instances(0)
    refined, scores = as_graph(trained_refiner()).refine(instances, random_prototypes(), random_image(), PLACE)
    assert len(refined) == len(scores) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("not base64!", "damaged", id="no base64"),
        pytest.param("aGVsbG8=", "not a usable ONNX graph", id="no graph"),
    ],
)
def test_damaged_text_is_rejected(text, message):
    with pytest.raises(WeightsError, match=rf"n\.onnx.*{message}"):
        open_refiner(trained_refiner(), text, path="n.onnx")


def test_engine_runs_the_refiner_graph_if_the_file_has_one(tmp_path):
    weights = load_weights(refined_file(tmp_path, trained_refiner()))
    metadata = graph_metadata(weights)
    engine = OnnxEngine(export_graph(weights.network(), metadata=metadata))
    assert isinstance(engine.refiner, OnnxRefiner)
    del metadata[REFINER_GRAPH]
    engine = OnnxEngine(export_graph(lively_network(), metadata=metadata))
    assert engine.refiner is not None
    assert not isinstance(engine.refiner, OnnxRefiner)
