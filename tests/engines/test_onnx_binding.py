"""Sessions on torch's tensors: on the CPU, where the same calls run, equal to sessions on arrays."""

import numpy as np
import pytest
import torch

from streamseg.engines.export import export_graph
from streamseg.engines.onnx_binding import BoundSession
from streamseg.engines.onnx_engine import OnnxEngine
from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from tests.support.networks import blobs, lively_network

NETWORKS = {
    "yolov8": lively_network,
    "nanodet with embeddings": lambda: build_nanodet(NanoDetConfig(embedding_channels=8), seed=0).eval(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_results_equal_those_of_the_session(name):
    pytest.importorskip("onnx", reason="exports a graph")
    engine = OnnxEngine(export_graph(NETWORKS[name]()))
    for size in ((64, 96), (32, 32)):
        images = np.stack([blobs(size, seed) for seed in range(2)])
        expected = engine.run(images).arrays()
        bound = BoundSession(engine._session, torch.device("cpu")).run(images).arrays()
        assert bound.keys() == expected.keys()
        for key, values in expected.items():
            assert bound[key].dtype == values.dtype
            np.testing.assert_array_equal(bound[key], values)
