import re

import onnx
import pytest

from streamseg.engines.export import export_graph
from streamseg.engines.own_graph import LAST_LAYERS
from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from streamseg.modeling.yolov8 import build_yolov8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "num_layers"),
    [
        # Scores, box sides and coefficients of three levels, and prototypes.
        pytest.param(lambda: build_yolov8("n", seed=0), 10, id="yolov8"),
        pytest.param(lambda: build_nanodet(NanoDetConfig(), seed=0), 10, id="nanodet"),
        pytest.param(lambda: build_nanodet(NanoDetConfig(embedding_channels=16), seed=0), 11, id="embeddings"),
    ],
)
def test_patterns_name_the_last_convolution_of_each_branch(network, num_layers):
    model = onnx.load_from_string(export_graph(network().eval()))
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    assert (
        len([name for name in convolutions if any(re.search(pattern, name) for pattern in LAST_LAYERS)]) == num_layers
    )
