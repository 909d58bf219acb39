import subprocess
import sys

import numpy as np
import onnx
import pytest

from streamseg.engines import build_engine, largest_differences
from streamseg.engines.export import export_graph
from streamseg.engines.onnx_engine import OnnxEngine
from streamseg.engines.openvino_engine import OpenVinoEngine
from streamseg.engines.openvino_model import computes_bfloat16, read_onnx, write_xml
from streamseg.engines.torch_engine import TorchEngine
from streamseg.errors import EngineError, WeightsError
from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from streamseg.modeling.nms import NmsSettings
from tests.support.networks import blobs, later_graph, lively_graph, lively_network
from tests.support.openvino import WITH_OPENVINO

pytestmark = [pytest.mark.slow, WITH_OPENVINO]

TOLERANCE = 1e-3
"""Largest difference between the engines, in input pixels for boxes and in the units of the other arrays. float32 sums
in a different order cause it."""


def openvino_engine(graph: bytes, **options) -> OpenVinoEngine:
    return OpenVinoEngine(read_onnx(graph, path="some/where.onnx"), path="some/where.onnx", **options)


@pytest.fixture(scope="module")
def network():
    return lively_network()


@pytest.fixture(scope="module")
def engine():
    return openvino_engine(lively_graph())


@pytest.mark.parametrize("shape", [(1, 64, 64), (2, 128, 96), (3, 32, 128), (1, 320, 576)])
def test_any_batch_height_and_width_equals_torch(engine, network, shape):
    batch, height, width = shape
    images = np.stack([blobs((height, width), seed) for seed in range(batch)])
    raw = engine.run(images)
    differences = largest_differences(raw, TorchEngine(network).run(images))
    # These weights are amplified until every anchor differs, and rounding errors with them.
    assert differences.pop("boxes") < 10 * TOLERANCE
    assert max(differences.values()) < TOLERANCE, differences
    assert raw.scores.min() < 0.1
    assert raw.scores.max() > 0.9


def test_results_stay_valid_after_the_next_run(engine):
    first, second = (blobs((64, 96), seed)[None] for seed in range(2))
    raw = engine.run(first)
    before = {name: values.copy() for name, values in raw.arrays().items()}
    engine.run(second)
    assert all((values == before[name]).all() for name, values in raw.arrays().items())


def test_a_shape_that_occurs_twice_in_a_row_gets_a_model_of_its_own():
    engine, other = openvino_engine(lively_graph()), openvino_engine(lively_graph())
    engine._compile = lambda model: other._request  # rounds alike on every processor
    first, second = (blobs((64, 96), seed)[None] for seed in range(2))
    wide = blobs((64, 128))[None]
    expected = other.run(second)  # by the model for any shape
    results = [engine.run(images) for images in (wide, first, wide, first, second, wide, second)]
    assert list(engine._fixed) == [(1, 64, 96, 3)]
    for raw in (results[4], results[6]):
        assert max(largest_differences(raw, expected).values()) == 0
    assert max(largest_differences(results[0], results[5]).values()) == 0
    with pytest.raises(EngineError, match="cannot run images"):
        engine.run(np.zeros((1, 64, 64, 4), np.uint8))


class Compilations:
    """Work that the engine starts, until the test does it; models are those of another engine.

    Args:
        engine: the engine whose compilations are replaced.
    """

    def __init__(self, engine) -> None:
        self.num_compiled = 0
        self.waiting = []
        self._request = openvino_engine(lively_graph())._request
        engine._compile = self._compile
        engine.start = self.waiting.append

    def _compile(self, model):
        self.num_compiled += 1
        return self._request


def test_further_shapes_are_compiled_beside_the_frames():
    """Bug: a camera whose size was not that of the warm-up never got a model of its own."""
    engine = openvino_engine(lively_graph())
    work = Compilations(engine)
    known, camera, third = (blobs(size)[None] for size in ((64, 96), (96, 64), (64, 64)))
    for images in (known, known):
        engine.run(images)
    assert work.num_compiled == 1, "at once, in the warm-up"
    first, *others = [engine.run(camera) for _ in range(4)]
    for _ in range(3):
        engine.run(third)
    assert work.num_compiled == 1, "frames go on"
    assert len(work.waiting) == 1, "one after the other"
    work.waiting.pop()()
    assert work.num_compiled == 2
    assert engine._fixed[camera.shape] is not None
    others.append(engine.run(camera))
    assert all(max(largest_differences(one, first).values()) == 0 for one in others)
    assert not work.waiting
    for _ in range(2):
        engine.run(third)
    assert len(work.waiting) == 1


def test_few_shapes_get_models_of_their_own():
    engine = openvino_engine(lively_graph())
    work = Compilations(engine)
    for width in range(1, 7):
        for _ in range(2):
            engine.run(np.zeros((1, 32, 32 * width, 3), np.uint8))
        while work.waiting:
            work.waiting.pop()()
    assert [shape[2] // 32 for shape in engine._fixed] == [1, 2, 3]


def test_without_another_thread_only_the_first_shape_is_compiled():
    engine = openvino_engine(lively_graph())
    work = Compilations(engine)
    engine.start = None
    for width in (1, 2):
        for _ in range(3):
            engine.run(np.zeros((1, 32, 32 * width, 3), np.uint8))
    assert work.num_compiled == 1
    assert list(engine._fixed) == [(1, 32, 32, 3)]


def test_a_model_that_is_compiled_after_the_end_is_not_kept():
    engine = openvino_engine(lively_graph())
    work = Compilations(engine)
    for size in ((64, 96), (96, 64)):
        for _ in range(2):
            engine.run(blobs(size)[None])
    engine.close()
    work.waiting.pop()()
    assert not any(engine._fixed.values())
    with pytest.raises(RuntimeError, match="closed"):
        engine.run(blobs((64, 96))[None])


def test_a_model_of_a_fixed_shape_changes_no_result():
    """Whether OpenVINO rounds alike and the model is used, depends on the processor."""
    engine, images = openvino_engine(lively_graph()), blobs((64, 96))[None]
    first, *others = [engine.run(images) for _ in range(4)]
    assert all(max(largest_differences(one, first).values()) == 0 for one in others)


def test_a_model_of_a_fixed_shape_with_other_results_is_not_used():
    engine, images = openvino_engine(lively_graph()), blobs((64, 96))[None]
    other = openvino_engine(export_graph(build_nanodet(NanoDetConfig(), seed=1).eval()))
    engine._compile = lambda model: other._request
    first, *others = [engine.run(images) for _ in range(3)]
    assert engine._fixed == {images.shape: None}
    assert all(max(largest_differences(one, first).values()) == 0 for one in others)


SIGNAL_AFTER_CLOSING = """
import faulthandler, gc, os, signal
from streamseg.engines.openvino_engine import OpenVinoEngine
from streamseg.engines.openvino_model import read_onnx
from tests.support.networks import lively_graph
faulthandler.enable()  # signal handlers get a stack of their own, as in any program that reports crashes
signal.signal(signal.SIGTERM, lambda number, frame: print("received"))
engines = [OpenVinoEngine(read_onnx(lively_graph(), path="a.onnx"), path="a.onnx") for _ in range(3)]
while engines:
    engines.pop(0).close()  # the first one first
    gc.collect()
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_signals_arrive_after_engines_were_closed_in_any_order():
    """Bug: on processors with AMX, the process was killed: a core of each engine left a stack that had been freed."""
    done = subprocess.run([sys.executable, "-c", SIGNAL_AFTER_CLOSING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "received\n"), done.stderr


def test_embeddings_equal_torch():
    network = build_nanodet(NanoDetConfig(embedding_channels=16), seed=0).eval()
    images = blobs((96, 64))[None]
    raw = openvino_engine(export_graph(network)).run(images)
    assert raw.embeddings is not None
    assert raw.embeddings.shape == (1, 16, 12, 8)
    differences = largest_differences(raw, TorchEngine(network).run(images))
    assert max(differences.values()) < TOLERANCE, differences


def test_built_in_suppression_returns_the_rows_of_onnx_runtime(network):
    settings = NmsSettings(max_det=20)
    graph = export_graph(network, suppression=settings)
    engine, images = openvino_engine(graph), blobs((96, 128))[None]
    assert engine.suppression == settings
    differences = largest_differences(engine.run(images), OnnxEngine(graph).run(images))
    assert max(differences.values()) < TOLERANCE, differences


def test_properties(engine):
    assert (engine.name, engine.device, engine.half) == ("openvino", "cpu", False)
    assert (engine.input_size, engine.max_batch, engine.is_quantized) == (None, None, False)


def test_strided_images_are_read_correctly(engine):
    images = blobs((64, 128))[None]
    assert (engine.run(images[:, :, ::2]).scores == engine.run(images[:, :, ::2].copy()).scores).all()


def test_half_precision_is_used_only_where_the_processor_has_it(network):
    if not computes_bfloat16():
        with pytest.raises(EngineError, match="does not compute bfloat16 in hardware"):
            openvino_engine(lively_graph(), half=True)
        return
    engine, images = openvino_engine(lively_graph(), half=True), blobs((64, 64))[None]
    assert engine.half
    # Limits documented in `TorchEngine`.
    assert largest_differences(engine.run(images), TorchEngine(network).run(images))["scores"] < 0.2


def without_metadata(graph):
    model = onnx.load_from_string(graph)
    del model.metadata_props[:]
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda graph: b"", "is not a graph that OpenVINO can use", id="empty"),
        pytest.param(lambda graph: b"\x89PNG" * 50, "is not a graph that OpenVINO can use", id="other bytes"),
        pytest.param(lambda graph: graph[: len(graph) // 2], "is not a graph that OpenVINO can use", id="truncated"),
        pytest.param(later_graph, "its graph has version 999, but version 1 is required", id="another version"),
        pytest.param(without_metadata, "was not written by streamseg, .*; use engine onnx", id="third party"),
        pytest.param(lambda graph: lively_graph(half=True), "computes in float16, which is for GPUs", id="float16"),
    ],
)
def test_unusable_graph_is_a_one_line_error_with_its_path(spoil, message):
    with pytest.raises(WeightsError, match=message) as caught:
        openvino_engine(spoil(lively_graph()))
    assert str(caught.value).startswith("some/where.onnx ")
    assert "\n" not in str(caught.value)


def test_impossible_batch_is_a_one_line_error(engine):
    with pytest.raises(EngineError, match=r"OpenVINO cannot run images \(1, 64, 64, 4\)") as caught:
        engine.run(np.zeros((1, 64, 64, 4), np.uint8))
    assert "\n" not in str(caught.value)


def test_closed_engine_does_not_run():
    engine = openvino_engine(lively_graph())
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.run(blobs((64, 64))[None])


def test_engine_is_built_from_files_of_both_formats(tmp_path):
    images = blobs((64, 64))[None]
    source = read_onnx(lively_graph(), path="graph")
    (tmp_path / "n.onnx").write_bytes(lively_graph())
    write_xml(source.model, source.metadata, tmp_path / "n.xml")
    built = [
        build_engine(tmp_path / "n.onnx", engine="openvino"),
        build_engine(tmp_path / "n.xml"),
        build_engine(tmp_path / "n.xml", engine="openvino", device="cpu", half=False),
    ]
    assert [engine.name for engine in built] == ["openvino"] * 3
    first, *others = [engine.run(images).scores for engine in built]
    assert all((scores == first).all() for scores in others)
    with pytest.raises(WeightsError, match=r"no weights at .*absent.onnx; allowed are"):
        build_engine(tmp_path / "absent.onnx", engine="openvino")
