import pytest

from streamseg.engines.int8_graphs import Accuracy, find_int8_graph, int8_paths, read_accuracy
from streamseg.engines.openvino_model import read_onnx, write_xml
from streamseg.engines.own_graph import QUANTIZED
from streamseg.weights import load_weights, save_weights
from tests.support.networks import lively_graph, lively_network
from tests.support.openvino import WITH_OPENVINO


@pytest.mark.parametrize(
    ("in_float", "in_int8", "acceptable"),
    [
        pytest.param(0.31, 0.308, True, id="little"),
        pytest.param(0.5, 0.49, True, id="limit"),
        pytest.param(0.31, 0.29, False, id="more"),
        pytest.param(0.30, 0.31, True, id="gain"),
        pytest.param(float("nan"), 0.31, False, id="nothing measured"),
    ],
)
def test_limit_of_the_loss(in_float, in_int8, acceptable):
    assert Accuracy(in_float, in_int8, "").is_acceptable is acceptable


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param(Accuracy(0.3104, 0.3087, "images").to_metadata(), Accuracy(0.3104, 0.3087, "images"), id="record"),
        pytest.param({}, None, id="none"),
        pytest.param({"mask_ar100_float": "0.3"}, None, id="half of it"),
        pytest.param({"mask_ar100_float": "0.3", "mask_ar100_int8": "good"}, None, id="no number"),
    ],
)
def test_record_of_the_accuracy(metadata, expected):
    assert read_accuracy(metadata) == expected


@pytest.mark.slow
@WITH_OPENVINO
@pytest.mark.parametrize("place", [0, 1], ids=["beside the weights", "cache"])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, None, id="fits"),
        pytest.param({"weights_sha256": "0" * 64}, "it was made from other weights", id="other weights"),
        pytest.param({"streamseg_graph": "999"}, "did not quantise it", id="other version"),
        pytest.param({QUANTIZED: None}, "did not quantise it", id="not quantised"),
        pytest.param({"mask_ar100_int8": None}, "its accuracy is not recorded", id="not measured"),
        pytest.param({"mask_ar100_int8": "0.2000"}, "it loses 0.1000 of mask AR@100, more than 0.01", id="loss"),
    ],
)
def test_only_a_graph_of_these_weights_and_little_loss_is_found(tmp_path, monkeypatch, caplog, place, changes, reason):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    weights = load_weights(save_weights(lively_network().state_dict(), tmp_path / "n.safetensors"))
    source = read_onnx(lively_graph(), path="graph")
    entries = {
        **source.metadata,
        QUANTIZED: "int8",
        "weights_sha256": weights.sha256,
        **Accuracy(0.3, 0.295, "").to_metadata(),
        **changes,
    }
    path = int8_paths(weights)[place]
    write_xml(source.model, {name: text for name, text in entries.items() if text is not None}, path)
    found = find_int8_graph(weights)
    if reason is None:
        assert found is not None
        assert found[0] == path
        assert not caplog.records
    else:
        assert found is None
        assert reason in caplog.text


@pytest.mark.slow
@WITH_OPENVINO
def test_damaged_graph_is_skipped(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    weights = load_weights(save_weights(lively_network().state_dict(), tmp_path / "n.safetensors"))
    int8_paths(weights)[0].write_bytes(b"<net")
    assert find_int8_graph(weights) is None
    assert "without the 8-bit graph" in caplog.text
